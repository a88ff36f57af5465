"""Makes the data of a release, and checks an upgrade from one. The database is TEST_DATABASE_URL, and empty.

python -m tests.upgrade fill VERSION     trade, and write tests/upgrade/VERSION.json
python -m tests.upgrade check VERSION    load these rows into the release's schema, migrate to today's, check the books
python -m tests.upgrade landed           note the migrations that are new in tests/upgrade/landed.json
"""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.process_settings")
django.setup()

from tests.upgrade.filling import write_release  # noqa: E402 - models need the settings first
from tests.upgrade.releases import note_new_migrations  # noqa: E402
from tests.upgrade.upgrading import check_upgrade  # noqa: E402

match sys.argv[1:]:
    case ["fill", version]:
        write_release(version)
    case ["check", version]:
        check_upgrade(version)
    case ["landed"]:
        note_new_migrations()
    case _:
        sys.exit(__doc__)

"""What the product writes is its owner's only, whatever the machine's umask."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

WRITE = "import pathlib, sys; d = pathlib.Path({folder!r}) / 'new'; d.mkdir(); (d / 'file').write_text('')"


@pytest.mark.parametrize(
    "start", [["manage.py", "shell", "--no-imports", "-c", WRITE], ["-c", "import tradehub.wsgi; " + WRITE]]
)
def test_files_that_a_process_makes_are_its_owners_only(tmp_path, start):
    command = [part.format(folder=str(tmp_path)) for part in start]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}

    subprocess.run(
        [sys.executable, *command], cwd=settings.BASE_DIR, env=environment, umask=0o022, check=True
    )

    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new/file").stat().st_mode & 0o777 == 0o600

"""The product's settings with fixed secrets, so that tests need no .env and never read one's values."""

import os

os.environ.update(
    {
        "SECRET_KEY": "tests-only-" + "x" * 50,
        "CREDENTIAL_KEYS": "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9uMTI=",
        "DATABASE_URL": os.environ.get("TEST_DATABASE_URL", "sqlite:///var/test.sqlite3"),
        "CACHE_URL": os.environ.get("TEST_CACHE_URL", "locmemcache://"),
        "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
        "LOG_LEVEL": "WARNING",
        "Q_REDIS_URL": os.environ.get("TEST_Q_REDIS_URL", ""),
        "WATERMARK_FILE": "",
        "STAFF_SECOND_FACTOR": "false",  # the tests of the second factor switch it on
        "AUDIT_ANCHOR_FILE": "",
    }
)

from tradehub.settings import *  # noqa: F403
from tradehub.settings import BASE_DIR, DATABASES

DATABASES["default"]["CONN_MAX_AGE"] = 0  # a thread's kept connection would outlive the test database
if "sqlite" in DATABASES["default"]["ENGINE"]:
    # A file, since orders run on threads; one for each process, so that runs side by side do not meet.
    DATABASES["default"]["TEST"] = {"NAME": str(BASE_DIR / "var" / f"test-{os.getpid()}.sqlite3")}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

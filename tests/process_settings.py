"""The tests' settings for processes of their own, which tests may kill at named places and which give up sooner."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, Q_CLUSTER

FAILPOINTS = os.environ.get("FAILPOINTS", "")
ABSENCE_HORIZON_S = int(os.environ.get("TEST_ABSENCE_HORIZON_S", "60"))
WEBHOOK_TOKEN_RATE_PER_MINUTE = 1_000_000
DATABASES["default"]["CONN_MAX_AGE"] = 600
Q_CLUSTER |= {"timeout": 8, "retry": 10, "poll": 0.2}

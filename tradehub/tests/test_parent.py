import os
import signal
import subprocess
import sys
import time

import pytest

from tradehub.environment import BASE_DIR

CHILD = """
import sys, time
from tradehub.parent import end_with_parent
end_with_parent(int(sys.argv[1]))
time.sleep(60)
"""
PARENT = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}, str(os.getpid())])
print(child.pid, flush=True)
time.sleep(60)
"""


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux")
def test_a_child_goes_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=BASE_DIR, stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        assert is_alive(child)

        os.kill(parent.pid, signal.SIGKILL)

        parent.wait()
        deadline = time.monotonic() + 5
        while is_alive(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(child)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux")
def test_a_child_whose_parent_is_gone_already_does_not_start():
    result = subprocess.run([sys.executable, "-c", CHILD, "1"], cwd=BASE_DIR, capture_output=True, text=True)

    assert "The parent process is gone." in result.stderr

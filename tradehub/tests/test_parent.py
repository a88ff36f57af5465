import os
import signal
import subprocess
import sys

import pytest

from tests.waiting import eventually
from tradehub.environment import BASE_DIR

CHILD = """
import sys, time
from tradehub.parent import end_with_parent
end_with_parent(int(sys.argv[1]))
print("ready", flush=True)
time.sleep(600)
"""
PARENT = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}, str(os.getpid())])
print(child.pid, flush=True)
time.sleep(600)
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
        assert parent.stdout.readline() == b"ready\n"
        assert is_alive(child)

        os.kill(parent.pid, signal.SIGKILL)

        parent.wait()
        eventually(lambda: not is_alive(child), what="the child is gone")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux")
def test_a_child_whose_parent_is_gone_already_does_not_start():
    result = subprocess.run([sys.executable, "-c", CHILD, "1"], cwd=BASE_DIR, capture_output=True, text=True)

    assert "The parent process is gone." in result.stderr

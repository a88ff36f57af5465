import signal
import socket
from pathlib import Path

import pytest

from tests.waiting import LONG_S, eventually
from tradehub.demo import processes
from tradehub.demo.processes import ChildDied, Children


@pytest.fixture
def children(tmp_path, monkeypatch):
    """Children that are small scripts in place of manage.py."""
    monkeypatch.chdir(tmp_path)
    started = Children(tmp_path / "log")
    yield started
    started.stop()


def manage(tmp_path, code):
    (tmp_path / "manage.py").write_text(code)


def wait_for_log(children, text):
    log = children.running[-1].log
    children.wait_until(lambda: text in log.read_text(), limit_s=LONG_S, what=text)


def test_a_child_that_ends_by_itself_is_named_with_its_last_words(children, tmp_path):
    manage(tmp_path, "import sys; print('could not reach the moon'); sys.exit(3)")

    children.start("web server", "serve")

    with pytest.raises(ChildDied, match=r"(?s)The web server ended with code 3.*could not reach the moon"):
        children.wait_until(lambda: False, limit_s=LONG_S, what="The web server")


def test_waiting_has_a_bound(children, tmp_path):
    manage(tmp_path, "import time; time.sleep(600)")
    children.start("tracker", "track_orders")

    with pytest.raises(TimeoutError, match="The tracker did not answer within 0 s"):
        children.wait_until(lambda: False, limit_s=0.2, what="The tracker")


def test_the_last_started_is_stopped_first(children, tmp_path):
    manage(
        tmp_path,
        "import signal, sys, time\n"
        "def stop(*_):\n    open('order', 'a').write(sys.argv[1] + ' '); sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop); print('ready', flush=True); time.sleep(600)",
    )
    for name in ("one", "two", "three"):
        children.start(name, name)
        wait_for_log(children, "ready")

    children.stop()

    assert (tmp_path / "order").read_text().split() == ["three", "two", "one"]
    assert children.running == []


def test_a_child_that_ignores_sigterm_is_killed_after_the_bound(children, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "STOP_S", 0.3)
    manage(
        tmp_path,
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\ntime.sleep(600)",
    )
    children.start("stubborn", "x")
    wait_for_log(children, "ready")
    child = children.running[0]

    children.stop()

    assert child.process.returncode == -signal.SIGKILL


def test_what_a_child_left_behind_goes_with_it(children, tmp_path):
    manage(
        tmp_path,
        "import subprocess, sys, time\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(f'left {left.pid} behind', flush=True)\ntime.sleep(600)",
    )
    children.start("worker", "qcluster")
    wait_for_log(children, "behind")
    left = int(children.running[0].log.read_text().split()[1])

    children.stop()

    eventually(lambda: not is_alive(left), what="what the child started is gone")


def is_alive(pid):
    """A zombie that its adopter has not reaped yet is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_no_file_of_ours_stays_open_in_a_child(children, tmp_path):
    manage(tmp_path, "import time; print('ready', flush=True); time.sleep(600)")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        children.start("one", "x")
        wait_for_log(children, "ready")

    with socket.socket() as again:
        again.bind(("127.0.0.1", port))

"""Ends a child process together with the parent process, however the parent ends."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent(parent_pid: int) -> None:
    """Sends this process SIGTERM when the parent is gone, also after kill -9. Does nothing outside Linux."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # the parent was gone before the call of prctl
        sys.exit("The parent process is gone.")

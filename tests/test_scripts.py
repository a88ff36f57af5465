"""What the scripts tell a person whose machine lacks something."""

import os
import shutil
import subprocess
import sys

import pytest

from tradehub.environment import BASE_DIR

BASH = shutil.which("bash")


@pytest.fixture
def machine(tmp_path):
    """A folder with our scripts, and a PATH with nothing but an interpreter that is too old."""
    shutil.copytree(BASE_DIR / "script", tmp_path / "script")
    old = tmp_path / "bin/python3"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\nexit 1\n")  # as one does that is asked whether it is 3.11
    old.chmod(0o755)

    def run(command, **environment):
        return subprocess.run(
            [BASH, "-euo", "pipefail", "-c", f". script/lib.sh; {command}; echo went on"],
            cwd=tmp_path,
            env={"PATH": str(old.parent), **environment},
            capture_output=True,
            text=True,
        )

    return run


NEEDED = "Python 3.11 or newer is needed and was not found. Install it, or set PYTHON to its path.\n"


@pytest.mark.parametrize("command", ["find_python", "ensure_venv requirements.txt"])
def test_a_machine_with_an_old_python_only_is_told_what_is_needed(machine, command):
    result = machine(command)

    assert (result.returncode, result.stderr, result.stdout) == (1, NEEDED, "")


def test_an_interpreter_may_be_named_by_hand(machine):
    result = machine("find_python", PYTHON=sys.executable)

    assert (result.returncode, result.stdout) == (0, f"{sys.executable}\nwent on\n")


def test_what_this_runs_under_is_new_enough(machine):
    assert machine("find_python", PATH=os.environ["PATH"]).returncode == 0

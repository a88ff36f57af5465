"""requirements.lock names what requirements.txt needs, exactly and with hashes. Without the network."""

import re
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tradehub.environment import BASE_DIR

ENTRY = re.compile(r"^(?P<entry>[^\s#][^\\\n]*) \\\n(?P<hashes>(?: +--hash=\S+(?: \\)?\n)+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def locked():
    """The locked packages: name to requirement, and to the number of hashes."""
    found = {}
    for entry in ENTRY.finditer((BASE_DIR / "requirements.lock").read_text()):
        requirement = Requirement(entry["entry"])
        hashes = entry["hashes"].split("--hash=")[1:]
        assert len(HASH.findall(entry["hashes"])) == len(hashes)
        found[canonicalize_name(requirement.name)] = requirement
    return found


def named():
    lines = (BASE_DIR / "requirements.txt").read_text().splitlines()
    texts = [line.partition("#")[0].strip() for line in lines]
    return [Requirement(text) for text in texts if text]


def test_every_line_of_the_lock_is_an_exact_version_with_hashes():
    text = (BASE_DIR / "requirements.lock").read_text()
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]

    names = {
        canonicalize_name(line.partition("==")[0]) for line in packages
    }  # some in two versions of Python's
    assert names == set(locked())
    assert len(names) > 20
    assert all(re.fullmatch(r"[\w.-]+==[\w.!+]+(?: ; .+)? \\", line) for line in packages)


@pytest.mark.parametrize("requirement", named(), ids=lambda requirement: requirement.name)
def test_the_lock_has_the_version_that_the_requirements_name(requirement):
    """Otherwise run ./script/lock."""
    assert locked()[canonicalize_name(requirement.name)].specifier == requirement.specifier


def test_the_lock_has_whatever_the_installed_packages_need():
    known, waiting, seen = locked(), [(each.name, each.extras) for each in named()], set()
    while waiting:
        name, extras = waiting.pop()
        for text in requires(name) or []:
            needed = Requirement(text)
            marks = needed.marker
            if marks is not None and not any(marks.evaluate({"extra": extra}) for extra in (*extras, "")):
                continue
            assert canonicalize_name(needed.name) in known, f"{name} needs {needed}: run ./script/lock"
            if needed.name not in seen:
                seen.add(needed.name)
                waiting.append((needed.name, needed.extras))
    assert len(seen) > 15

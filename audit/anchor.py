"""The anchor: number and hash of the newest verified entry, in a file and in the log, outside of the database."""

import logging
import os
import re
from pathlib import Path

from audit.chain import START
from audit.trail import Anchor, Verdict, verify_newer

logger = logging.getLogger(__name__)

_ANCHOR = re.compile(r"(\d{1,18}):([0-9a-f]{64})")


def parse_anchor(text: str) -> Anchor:
    """Reads NUMBER:HASH. Raises ValueError."""
    found = _ANCHOR.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            "An anchor is a number, a colon and 64 hexadecimal digits, as verify_audit prints the anchor."
        )
    return int(found[1]), found[2]


def verify_since_anchor(path: Path | None) -> Verdict:
    """Verifies the entries since the anchor in the file, then notes the newest entry in the file and in the log.

    Without a file every call verifies the whole trail. A trail with a problem leaves the anchor as the anchor is, so
    that each later call finds the problem again. An unreadable file counts as a problem, too.
    """
    try:
        known = parse_anchor(path.read_text()) if path is not None and path.exists() else (0, START)
    except ValueError:
        verdict = Verdict()
        verdict.note(f"{path} holds no anchor.")
    else:
        verdict = verify_newer(known)
    for problem in verdict.problems:
        logger.error("audit trail not whole: %s", problem)
    if not verdict.problems:
        logger.info("audit trail whole anchor=%s:%s", verdict.number, verdict.hash)
        if path is not None:
            _write_anchor(path, (verdict.number, verdict.hash))
    return verdict


def _write_anchor(path: Path, anchor: Anchor) -> None:
    """Replaces the file as a whole: a crash leaves the file before."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(f"{anchor[0]}:{anchor[1]}\n")
    part.chmod(0o600)
    part.replace(path)

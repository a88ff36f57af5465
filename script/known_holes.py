"""Finds known holes in the installed packages. Fails if the list of known holes names any.

The list is on the network. Where the list cannot be reached, or knows none of our packages, the script says so and
passes, so that a machine without network can still test.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PATIENCE_S = 180
COMMAND = [
    "pip-audit",
    "--local",
    "--progress-spinner",
    "off",
    "--timeout",
    "10",
    "--format",
    "json",
    "--output",
]


def audit_report() -> list[dict[str, Any]]:
    """Returns the list's entry of each package; empty when the list cannot be reached."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        try:
            subprocess.run([*COMMAND, str(path)], capture_output=True, check=False, timeout=PATIENCE_S)  # noqa: S603
            packages: list[dict[str, Any]] = json.loads(path.read_text())["dependencies"]
        except (subprocess.TimeoutExpired, OSError, ValueError):
            return []
    return packages


def describe_hole(package: dict[str, Any], hole: dict[str, Any]) -> str:
    fixed = ", ".join(hole["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {hole['id']}, fixed in {fixed}"


def main() -> None:
    packages = audit_report()
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        print(
            "The list of known holes cannot be reached from here, or knows none of our packages: not audited."
        )
    elif len(known) < len(packages):
        print(f"{len(packages) - len(known)} of {len(packages)} packages are not on the list: not audited.")
    holes = [describe_hole(package, hole) for package in known for hole in package["vulns"]]
    if holes:
        sys.exit("\n".join(holes))


if __name__ == "__main__":
    main()

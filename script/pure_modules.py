"""Prints the pure modules, which pyproject.toml lists, as file patterns for `coverage report --include`."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def pure_modules() -> list[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (pure,) = (contract for contract in contracts if contract["name"].startswith("Pure modules"))
    return list(pure["source_modules"])


def pattern_of(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}/*" if (ROOT / path).is_dir() else f"{path}.py"


if __name__ == "__main__":
    print(",".join(pattern_of(module) for module in pure_modules()))

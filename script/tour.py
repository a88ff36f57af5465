"""The tour of README.md, typed into a shell beside a running demo: each answer must be the answer in README.md.

python script/tour.py       in the folder of the running demo; var/demo.json and PAPER_EXCHANGE_URL tell its addresses

The ```bash blocks of the section "A tour" run in one shell, in order. The ```json block below a command is its answer:
`…` in a text stands for anything, and the key `…` for all keys that are not shown.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SECTION = re.compile(r"^## A tour.*?(?=^## )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(bash|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANYTHING = "…"
MARK = "==> ended with"
PATIENCE_S = 60  # the tracker may book a fill later than a command asks for the fill
LONGEST_S = 300  # of the whole tour


@dataclass(slots=True)
class Step:
    """One ```bash block, and the answer that README.md prints below; no answer means that success is enough."""

    command: str
    answer: Any = None

    @property
    def is_question(self) -> bool:
        """A question may be asked again until the answer is there; a command runs once."""
        return "POST" not in self.command and self.answer is not None


def steps_in(document: str) -> list[Step]:
    section = SECTION.search(document)
    if section is None:
        sys.exit("README.md has no section '## A tour'.")
    steps: list[Step] = []
    for language, text in BLOCK.findall(section[0]):
        if language == "bash":
            steps.append(Step(text))
        else:
            steps[-1].answer = json.loads(text)
    return steps


class Shell:
    """One bash for the whole tour, so that a variable of one step is known to the next."""

    def __init__(self) -> None:
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._bash = subprocess.Popen(["bash", "-o", "pipefail"], text=True, cwd=ROOT, **pipes)  # noqa: S607
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._input, self._output = self._bash.stdin, self._bash.stdout

    def run(self, command: str) -> str:
        """What the command prints. Ends the tour where the command fails."""
        self._input.write(f"{command}\nprintf '\\n{MARK} %s\\n' $?\n")
        self._input.flush()
        lines = list(self._until_mark())
        printed, code = "".join(lines[:-1]), lines[-1].removeprefix(MARK).strip()
        if code != "0":
            sys.exit(f"{command}{printed}\nThe command ended with {code}.")
        return printed

    def _until_mark(self) -> Iterator[str]:
        for line in self._output:
            yield line
            if line.startswith(MARK):
                return
        sys.exit("The shell ended.")


def in_words_of(expected: Any, actual: Any) -> Any:
    """The actual answer, with the placeholders of the expected answer wherever both agree."""
    if isinstance(expected, str) and ANYTHING in expected:
        pattern = ".*".join(re.escape(part) for part in expected.split(ANYTHING))
        return expected if re.fullmatch(pattern, str(actual), re.DOTALL) else actual
    if isinstance(expected, dict) and isinstance(actual, dict):
        names = [*expected, *(name for name in actual if name not in expected)]
        known = {name: in_words_of(expected.get(name), actual[name]) for name in names if name in actual}
        if ANYTHING in expected:
            return {name: value for name, value in known.items() if name in expected} | {
                ANYTHING: expected[ANYTHING]
            }
        return known
    if isinstance(expected, list) and isinstance(actual, list):
        pairs = zip(expected, actual, strict=False)
        return [in_words_of(*pair) for pair in pairs] + actual[len(expected) :]
    return actual


def difference(expected: Any, actual: Any) -> str:
    """A diff from README.md to the demo's answer; empty where both agree."""
    told = in_words_of(expected, actual)
    if told == expected:
        return ""
    return "\n".join(
        unified_diff(lines_of(expected), lines_of(told), "README.md", "the demo's answer", lineterm="")
    )


def lines_of(answer: Any) -> list[str]:
    return json.dumps(answer, indent=1, ensure_ascii=False).splitlines()


def take(step: Step, shell: Shell) -> str:
    """Runs the step; returns the difference."""
    until = time.monotonic() + PATIENCE_S
    while True:
        printed = shell.run(step.command)
        if step.answer is None:
            return ""
        found = difference(step.answer, read_json(printed, step.command))
        if not found or not step.is_question or time.monotonic() > until:
            return found
        time.sleep(1)


def read_json(printed: str, command: str) -> Any:
    try:
        return json.loads(printed)
    except ValueError:
        sys.exit(f"{command}{printed}\nThe answer is no JSON.")


def addressed(document: str) -> str:
    """The document with the addresses of the running demo."""
    url = json.loads((ROOT / "var/demo.json").read_text())["url"]
    paper = os.environ.get("PAPER_EXCHANGE_URL", "http://127.0.0.1:5002")
    return document.replace("https://localhost:5001", url).replace("http://127.0.0.1:5002", paper)


def main() -> None:
    signal.alarm(LONGEST_S)
    shell, steps = Shell(), steps_in(addressed((ROOT / "README.md").read_text()))
    for number, step in enumerate(steps, start=1):
        found = take(step, shell)
        if found:
            sys.exit(f"{step.command}{found}\nStep {number} of the tour is not answered as README.md says.")
        print(f"==> The tour, step {number} of {len(steps)}: ok", flush=True)


if __name__ == "__main__":
    main()

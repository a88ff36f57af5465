"""Finds the key that appears twice in one JSON object."""

import json
import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(?P<colon>\s*:)?|[{}]')


def find_double_key(text: str, begin: int) -> int | None:
    """Returns where a key of valid JSON appears for the second time, in any spelling; None if no key does."""
    open_objects: list[set[str]] = []
    for token in _TOKEN.finditer(text, begin):
        found = token[0]
        if found == "{":
            open_objects.append(set())
        elif found == "}":
            open_objects.pop()
        elif token["colon"]:
            name = str(json.loads(found[: found.rindex('"') + 1])).lower()
            if name in open_objects[-1]:
                return token.start()
            open_objects[-1].add(name)
    return None

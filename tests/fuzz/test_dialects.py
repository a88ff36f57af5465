"""Whatever is posted in any dialect, and whatever text is broken, parsing ends in a delivery or in a WebhookError."""

import json
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.fuzz.engine import fuzz
from tests.fuzz.test_bodies import changed, check_refusal
from webhooks.errors import WebhookError
from webhooks.message.payload import parse_delivery
from webhooks.message.translation import read_message

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "webhooks/tests/cases/dialects.jsonl").read_text().splitlines()
]
JSON_DIALECTS = ["traderspost", "3commas", "poabot", "openalgo", "openalgo-strategy"]


def check(body: bytes) -> None:
    for read in (
        lambda: read_message(body, max_bytes=65536).own,
        lambda: parse_delivery(body, bearer="t", max_bytes=65536, max_legs=30),
    ):
        try:
            read()
        except WebhookError as error:
            check_refusal(error)


@pytest.mark.parametrize("dialect", JSON_DIALECTS)
def test_no_message_of_a_dialect_is_too_strange(dialect):
    objects = [json.loads(case["body"]) for case in CASES if case["dialect"] == dialect]
    names = sorted({name for row in objects for name in row})
    rows = st.one_of([changed(row, names) for row in objects])

    fuzz(check, rows.map(lambda row: json.dumps(row | {"dialect": dialect}).encode()))


def test_no_text_of_pairs_is_too_strange():
    texts = [case["body"].split("\n") for case in CASES if case["dialect"] == "octobot"]
    pairs = sorted({line for text in texts for line in text})
    values = st.one_of(
        st.text(max_size=8), st.sampled_from(["-5%", "e5%", "@1", "1e9%", "9" * 50, "1q", "20p%"])
    )
    keys = st.sampled_from([line.partition("=")[0] for line in pairs])
    parts = st.one_of(st.sampled_from(pairs), st.tuples(keys, values).map("=".join))
    bodies = st.tuples(st.sampled_from(texts), st.lists(parts, max_size=3)).map(
        lambda two: [*two[0], *two[1]]
    )

    fuzz(check, bodies.map(lambda lines: "\n".join(lines).encode("utf-8", "replace")))


def test_no_broken_text_is_too_strange():
    bodies = st.sampled_from([case["body"] for case in CASES])
    junk = st.one_of(
        st.text(max_size=5),
        st.sampled_from(['"', "{", "}", "[", ",", ":", "{{", "“", "\\", "\n", "//", "&quot;"]),
    )

    @st.composite
    def broken(draw):
        text = draw(bodies)
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, min(len(text), begin + 9)))
        return (text[:begin] + draw(junk) + text[end:]).encode("utf-8", "replace")

    fuzz(check, broken())

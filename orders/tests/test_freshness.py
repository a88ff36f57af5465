from datetime import UTC, datetime, timedelta

import pytest
from django.utils.translation import override

from orders.domain.freshness import Comparison

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def ago(**kwargs):
    return NOW - timedelta(**kwargs)


@pytest.mark.parametrize(
    ("compared_at", "gap_noticed_at", "stale"),
    [
        (None, None, True),
        (None, ago(minutes=1), True),
        (ago(minutes=9), None, False),
        (ago(minutes=11), None, True),
        (ago(minutes=2), ago(minutes=1), True),
        (ago(minutes=1), ago(minutes=2), False),
        (ago(minutes=1), ago(minutes=1), False),
        (ago(minutes=-5), None, False),  # the clock was set back
    ],
)
def test_a_comparison_is_stale_by_age_and_by_a_gap(compared_at, gap_noticed_at, stale):
    assert Comparison(compared_at, gap_noticed_at).is_stale(NOW) == stale


@pytest.mark.parametrize(
    ("comparison", "age_s", "why"),
    [
        (Comparison(ago(minutes=11), None, ago(seconds=5)), "660", "no_answer"),
        (Comparison(ago(minutes=11), None, ago(seconds=90)), "660", "no_tracker"),
        (Comparison(ago(minutes=11)), "660", "no_tracker"),
        (Comparison(ago(minutes=2), ago(minutes=1), ago(seconds=5)), "120", "gap"),
        (Comparison(None, ago(minutes=1), ago(seconds=5)), "?", "gap"),
        (Comparison(ago(minutes=-1), ago(minutes=2), ago(seconds=5)), "0", "no_answer"),
    ],
)
def test_the_denial_names_the_age_and_why_there_is_no_younger_comparison(comparison, age_s, why):
    denied = comparison.denial(NOW)

    assert denied.code == "not_compared"
    assert denied.params == {"age_s": age_s, "allowed_s": "600", "why": why}


def test_the_sentence_says_that_the_tracker_is_not_running():
    with override("en"):
        text = Comparison(ago(minutes=11)).denial(NOW).text

    assert "660 seconds ago" in text
    assert "manage.py track_orders" in text

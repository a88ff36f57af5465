"""docs/history.md says what its table says, and the table says what the adapters say."""

from datetime import timedelta

import pytest

from exchanges.adapters.binance import BinanceFutures, BinanceSpot
from script import history_windows
from script.history_windows import DAY, HOUR, MONTH, WEEK, WINDOWS, Windows, outcome_of


def test_the_document_is_what_the_table_says():
    assert history_windows.DOCUMENT.read_text() == history_windows.document()


@pytest.mark.parametrize(
    ("name", "adapter"), [("Binance Spot", BinanceSpot), ("Binance USDⓈ-M Futures", BinanceFutures)]
)
def test_the_table_says_what_the_adapter_says(name, adapter):
    row = next(row for row in WINDOWS if row.exchange == name)

    assert timedelta(days=row.unfilled) == adapter.capabilities.forgets_unfilled_after
    assert (row.filled if row.filled < 1000 else None) == adapter.capabilities.history_days


@pytest.mark.parametrize(
    ("days", "outcome"), [(HOUR, "all"), (DAY, "fills"), (WEEK, "trades"), (MONTH, "holdings")]
)
def test_a_longer_down_time_leaves_less(days, outcome):
    assert outcome_of(Windows("any", HOUR, DAY, WEEK, ""), days) == outcome

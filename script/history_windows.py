"""docs/history.md: how far back each exchange tells its past, and what follows from a down-time.

python script/history_windows.py            writes the document from the table below
python script/history_windows.py --check    fails where the document is not what the table says
python script/history_windows.py --print    prints the tables
"""

import sys
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/history.md"

HOUR, DAY, WEEK, MONTH = 1 / 24, 1.0, 7.0, 30.0
WIDTH = 120
NO_END = float("inf")  # no end is documented


class Windows(NamedTuple):
    """How long an exchange tells its past, in days; `pages` says how the past has to be asked for."""

    exchange: str
    unfilled: float  # orders that were canceled or expired without a fill
    filled: float  # orders with a fill
    trades: float
    pages: str
    note: str = ""


WINDOWS = [
    Windows(
        "Binance Spot",
        90,
        NO_END,
        NO_END,
        "per symbol, spans of 24 h, 500 or 1,000 rows, oldest first",
        "After 90 days the look-up of an unfilled order is answered with -2026: the order ended without a fill.",
    ),
    Windows(
        "Binance USDⓈ-M Futures",
        3,
        90,
        90,
        "per symbol, spans of 7 days, 500 or 1,000 rows, oldest first",
        "Trades go back 3 months since 26 August 2026, before 6. Stop orders have lists of their own, as long.",
    ),
    Windows(
        "Bybit",
        1,
        730,
        730,
        "spans of 7 days, 50 orders or 100 trades, newest first, by cursor",
        "All orders for 7 days, filled orders for 2 years.",
    ),
    Windows(
        "OKX",
        2 * HOUR,
        90,
        90,
        "100 rows, newest first, by id",
        "Recent lists hold orders for 7 days and trades for 3; the archive holds 3 months, without unfilled orders.",
    ),
    Windows("Bitget", 90, 90, 90, "100 rows, newest first, by id"),
    Windows(
        "Upbit",
        NO_END,
        NO_END,
        NO_END,
        "spans of 7 days, 1,000 rows",
        "Trades are inside the order. Our ids can be searched for orders since 18 October 2024.",
    ),
    Windows(
        "Bithumb",
        0,
        NO_END,
        NO_END,
        "spans of 7 days, 1,000 rows, by next_key",
        "Trades are inside the order. Waiting orders that were canceled are never listed.",
    ),
]

DOWN_TIMES = [
    ("1 hour", HOUR),
    ("1 day", DAY),
    ("1 week", WEEK),
    ("1 month", MONTH),
    ("more than 3 months", 92.0),
]

WHOLE, NO_UNFILLED, TRADES_ONLY, HOLDINGS_ONLY = "all", "fills", "trades", "holdings"


def outcome_of(windows: Windows, days: float) -> str:
    """What can still be asked after a down-time of so many days."""
    if days <= windows.unfilled:
        return WHOLE
    if days <= windows.filled:
        return NO_UNFILLED
    return TRADES_ONLY if days <= windows.trades else HOLDINGS_ONLY


MEANINGS = {
    WHOLE: "Every order and every trade is listed. All orders are concluded, adopted and booked.",
    NO_UNFILLED: "Orders that ended without a fill may be missing, and such an order moved nothing. The complete list"
    " of fills proves that no more came: an order that the exchange does not know any more is concluded as"
    " `forgotten_by_exchange`. Orders with fills, and open orders, are adopted and booked as above.",
    TRADES_ONLY: "Fills are listed, and their orders are not. Open orders are adopted, and fills of orders with a row"
    " are booked. Other fills cannot be told from hand trades: they wait for a person. An order that the exchange does"
    " not know any more is concluded where books and exchange agree about the holding, else it waits for a person with"
    " the reason `absence_unproved`.",
    HOLDINGS_ONLY: "Only open orders, positions and balances can be asked for. Open orders are adopted. Each symbol in"
    " which books and exchange differ is frozen for entries, and waits for one correction by a person. An order that"
    " the exchange does not know any more waits for a person with the reason `absence_unproved`.",
}

HEAD = """\
# The past that exchanges tell

Made by `python script/history_windows.py` from its table; change the table, and never this file.

After a restore, a pause of the tracker or an answer that never came, tradehub reads what happened from the exchange's
history. No history is complete for ever. This page says how far back each exchange tells, and what tradehub concludes
from what is left. Nothing is ever concluded from elapsed time alone. This release trades at Binance; the other rows are
for whoever adds one of these exchanges.
"""

READING = """\
## How tradehub reads

- Lists are read to their end: page after page by id, span after span by time, also through empty days. All fills of one
  order are read, however many there are. A list that cannot be read to its end proves nothing (`history_too_long`).
- Exchanges list orders by symbol. After a gap, every symbol is read that a strategy of the account traded within 90
  days, and every symbol in which the account holds something or has an open order. A trade there and back in another
  symbol leaves nothing at the exchange, and is not found.
- An order under our ids without a row is adopted: the id names its strategy account. An id of release 0.1.0 names none;
  such an order is adopted where the account has one strategy account of that market type, else it stays external.
- Where the gap is older than the exchange's list of orders, the list is read as far back as it goes, and the comparison
  of positions shows what the older part left.
"""

MENDING = """\
## What to do

[Restore from a backup](runbook.md#restore-from-a-backup) has the steps. `manage.py adopt` shows what the exchanges have
and the books lack, `manage.py adopt --do` mends it, and `manage.py audit_books` shows what is left.
"""


def days_text(days: float) -> str:
    if days == NO_END:
        return "no end documented"
    if days == 0:
        return "never"
    if days < 1:
        return f"{round(days * 24)} h"
    return f"{round(days)} day{'s' if round(days) != 1 else ''}"


def wrapped(line: str) -> str:
    """A list entry in lines of at most WIDTH characters."""
    return fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def windows_table() -> list[str]:
    lines = [
        "| exchange | unfilled orders | orders with fills | trades | how it is asked |",
        "|---|---|---|---|---|",
    ]
    for row in WINDOWS:
        kept = " | ".join(days_text(days) for days in (row.unfilled, row.filled, row.trades))
        lines.append(f"| {row.exchange} | {kept} | {row.pages} |")
    return lines


def outcomes_table() -> list[str]:
    lines = [
        "| exchange | " + " | ".join(name for name, _ in DOWN_TIMES) + " |",
        "|---" * (len(DOWN_TIMES) + 1) + "|",
    ]
    for row in WINDOWS:
        found = " | ".join(f"{outcome_of(row, days)}" for _, days in DOWN_TIMES)
        lines.append(f"| {row.exchange} | {found} |")
    return lines


def document() -> str:
    notes = [wrapped(f"- {row.exchange}: {row.note}") for row in WINDOWS if row.note]
    meanings = [wrapped(f"- **{outcome}**: {meaning}") for outcome, meaning in MEANINGS.items()]
    parts = [
        HEAD,
        "## How far back\n",
        *windows_table(),
        "",
        *notes,
        "",
        "## After a down-time\n",
        *outcomes_table(),
        "",
        *meanings,
        "",
        READING,
        MENDING.rstrip("\n"),
    ]
    return "\n".join(parts) + "\n"


def main() -> None:
    wanted = sys.argv[1:]
    if wanted == ["--print"]:
        print("\n".join([*windows_table(), "", *outcomes_table()]))
    elif wanted == ["--check"]:
        if not DOCUMENT.exists() or DOCUMENT.read_text() != document():
            sys.exit(
                f"{DOCUMENT.relative_to(ROOT)} is not what the table says. Run: python script/history_windows.py"
            )
    else:
        DOCUMENT.write_text(document())


if __name__ == "__main__":
    main()

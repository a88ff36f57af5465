from collections.abc import Iterator
from typing import Any

import pytest

from exchanges.paper.testing import PaperControl
from orders.execution import answers, batch_run
from tests.edge import forget_exchanges
from tests.machine.world import World


@pytest.fixture
def paper(
    paper_server: PaperControl, settings: Any, monkeypatch: pytest.MonkeyPatch, db: None
) -> PaperControl:
    """An exchange for many short lives: nobody waits long for it."""
    settings.PAPER_EXCHANGE_URL = paper_server.url
    settings.EXCHANGE_TIMEOUT_S = 0.3
    settings.WEBHOOK_ANSWER_BUDGET_MS = 400
    settings.WEBHOOK_TOKEN_RATE_PER_MINUTE = 1_000_000
    monkeypatch.setattr(answers, "IDLE_S", 0.003)
    monkeypatch.setattr(answers, "LONGEST_S", 0.03)
    monkeypatch.setattr(batch_run, "_HAND_OVER_AFTER_S", 1)
    forget_exchanges()
    return paper_server


@pytest.fixture
def world(paper: PaperControl) -> Iterator[World]:
    with World(paper).alive() as world:
        yield world

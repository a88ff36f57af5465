"""Who waits for a run may be gone: a callback that fails must not break the run off."""

import asyncio

import pytest

from orders.execution.completion import Completion


@pytest.fixture
def closed_loop():
    loop = asyncio.new_event_loop()
    loop.close()
    return loop


def test_a_server_that_has_ended_breaks_no_run_off(closed_loop):
    completion, told = Completion(), []
    completion.when_set(lambda: closed_loop.call_soon_threadsafe(print))  # as webhooks.answering.answer does
    completion.when_set(lambda: told.append("other"))

    completion.set()

    assert completion.is_set()
    assert told == ["other"]

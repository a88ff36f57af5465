"""An account and its API keys."""

import ccxt
import pytest

from exchanges.paper.testing import running_paper_exchange
from exchanges.paper.tests.conftest import KEY, SECRET, Desk, connect

BTC = "BTC/USDT:USDT"


@pytest.fixture
def new_key(runner, futures, paper):
    """The futures desk of alice's account by a second key."""
    paper.open_account("new-key", "new-secret", same_account_as=KEY)
    client = connect(ccxt.async_support.binanceusdm, paper.url, "new-key", "new-secret")
    desk = Desk(runner, client)
    desk.load_markets()
    yield desk
    runner.run(client.close())


def test_two_keys_of_one_account_share_the_ledger(futures, new_key, paper):
    futures.create_order(BTC, "limit", "buy", "1", "90000", {"clientOrderId": "one"})

    new_key.cancel_order(None, BTC, {"clientOrderId": "one"})
    new_key.create_order(BTC, "market", "buy", "1")

    assert [row["contracts"] for row in futures.fetch_positions([BTC])] == ["1"]
    state = paper.state()["accounts"]
    assert state["new-key"] == state[KEY]
    assert paper.account("new-key") == state[KEY]
    assert paper.requests()[-1]["api_key"] == KEY


def test_each_key_has_its_own_secret(runner, new_key, paper):
    stranger = Desk(runner, connect(ccxt.async_support.binanceusdm, paper.url, "new-key", SECRET))

    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        stranger.fapiPrivateV3GetBalance()

    runner.run(stranger.client.close())
    assert new_key.fapiPrivateV3GetBalance()[0]["asset"] == "USDT"


def test_the_number_of_an_account_is_the_same_for_all_its_keys(runner, spot, paper):
    paper.open_account("new-key", "new-secret", same_account_as=KEY)
    paper.open_account("other-key", "other-secret")
    numbers = {}
    for key in ("new-key", "other-key"):
        desk = Desk(runner, connect(ccxt.async_support.binance, paper.url, key, key.replace("key", "secret")))
        numbers[key] = desk.privateGetAccount()["uid"]
        runner.run(desk.client.close())

    assert numbers["new-key"] == spot.privateGetAccount()["uid"]
    assert numbers["other-key"] != numbers["new-key"]


def test_a_key_that_traded_on_its_own_stays_with_its_account(paper):
    paper.hand("bob", "futures", "BTCUSDT", "BUY", "1")

    with pytest.raises(ValueError, match="account of its own"):
        paper.open_account("bob", "", same_account_as=KEY)


def test_an_unused_account_of_a_key_makes_way(paper):
    paper.open_account("bob")

    paper.open_account("bob", "secret", same_account_as=KEY)

    assert paper.account("bob")["uid"] == paper.account(KEY)["uid"]


def test_keys_survive_a_restart(tmp_path):
    with running_paper_exchange(state=tmp_path / "state") as paper:
        paper.open_account(KEY, SECRET, poor=True)
        paper.open_account("new-key", "new-secret", same_account_as=KEY)
        paper.hand("new-key", "futures", "BTCUSDT", "BUY", "1")

    with running_paper_exchange(state=tmp_path / "state") as paper:
        assert paper.account(KEY)["positions"][0]["positionAmt"] == "1"
        assert paper.account("new-key") == paper.account(KEY)

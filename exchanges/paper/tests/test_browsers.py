"""A web page that somebody at this machine opens cannot move the paper market, nor read it by a name of its own."""

import json
from http.client import HTTPConnection  # noqa: TID251 - to the control API only
from urllib.parse import urlsplit

import pytest

FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TEXT = {"Content-Type": "text/plain;charset=UTF-8"}
JSON = {"Content-Type": "application/json"}
PRICES = "/__paper__/prices"


def send(paper, method, path, headers, body=b'{"BTCUSDT": "1"}'):
    address = urlsplit(paper.url)
    connection = HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        connection.request(method, path, None if method == "GET" else body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def price(paper):
    return paper.state()["prices"]["BTCUSDT"]


@pytest.mark.parametrize(
    "headers",
    [
        FIREFOX | FORM,
        FIREFOX | TEXT,
        FIREFOX | {"Content-Type": "multipart/form-data; boundary=x"},
        FIREFOX,
        TEXT,
        FIREFOX | FORM | {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        JSON | {"Origin": "https://evil.example"},
        JSON | {"Origin": "null"},
        JSON | {"X-Paper-Control": "1", "Sec-Fetch-Site": "cross-site"},
        JSON | {"Host": "evil.example"},
        JSON | {"Host": "127.0.0.1.evil.example:5002", "X-Paper-Control": "1"},
        JSON | {"Host": "192.168.0.7"},
    ],
)
def test_a_page_of_another_site_moves_nothing(paper, headers):
    before = price(paper)

    status, answer = send(paper, "POST", PRICES, headers)

    assert (status, answer["code"]) == (403, -1002)
    assert price(paper) == before
    assert send(paper, "DELETE", "/__paper__/state", headers)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"User-Agent": "curl/8.5.0"} | FORM,
        {"User-Agent": "Python-urllib/3.11"} | FORM,
        {},
        FIREFOX | JSON,
        FIREFOX | {"X-Paper-Control": "1"},
        FIREFOX | JSON | {"Origin": "http://localhost:5002", "Sec-Fetch-Site": "same-origin"},
        JSON | {"Host": "[::1]:5002"},
    ],
)
def test_a_person_or_a_program_at_this_machine_moves_the_market(paper, headers):
    status, prices = send(paper, "POST", PRICES, headers, b'{"BTCUSDT": "94000"}')

    assert (status, prices["BTCUSDT"]) == (200, "94000")


def test_the_state_is_read_in_the_address_bar_and_not_across_sites(paper):
    assert send(paper, "GET", "/__paper__/state", FIREFOX | {"Sec-Fetch-Site": "none"})[0] == 200
    assert send(paper, "GET", "/__paper__/state", FIREFOX | {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert send(paper, "GET", "/__paper__/state", {"Host": "rebound.example"})[0] == 403


def test_no_preflight_is_granted(paper):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Headers": "x-paper-control"}

    status, _answer = send(paper, "OPTIONS", PRICES, asked)

    assert status == 403


def test_the_exchange_itself_answers_to_no_other_name(paper):
    assert send(paper, "GET", "/api/v3/time", {})[0] == 200
    assert send(paper, "GET", "/api/v3/time", {"Host": "rebound.example"})[0] == 403

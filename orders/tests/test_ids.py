import re

import pytest

from orders.domain.ids import code_in, is_ours, may_lack_code, new_client_order_id
from strategies.codes import new_code


def test_a_client_order_id_leads_back_to_its_strategy_account():
    code = new_code()
    first, second = new_client_order_id(code), new_client_order_id(code)

    assert first != second
    assert re.fullmatch(r"th[a-z0-9]{30}", first)
    assert code_in(first) == code_in(second) == code


@pytest.mark.parametrize(
    "other", ["", "web_123", "th" + 40 * "0", "thABCDEFGH" + 22 * "0", "th" + 8 * "g" + 22 * "z"]
)
def test_an_id_of_another_form_carries_no_code(other):
    assert code_in(other) == ""


@pytest.mark.parametrize(
    ("name", "ours", "without_code"),
    [
        (f"th{'k' * 8}{'0' * 22}", True, False),
        (f"th{'0af' * 10}", True, True),
        (f"th{'0af' * 11}", False, False),
        ("web_123", False, False),
    ],
)
def test_ids_of_both_releases_are_ours(name, ours, without_code):
    assert (is_ours(name), may_lack_code(name)) == (ours, without_code)

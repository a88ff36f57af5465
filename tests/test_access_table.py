"""Every address, role and method: docs/access.md is what the program does, and no look at a page changes anything."""

import pytest

from script import access


@pytest.mark.django_db
def test_every_role_gets_what_the_table_says_and_no_look_writes():
    found = access.walk()

    assert found.writes == []
    assert access.document(found).splitlines() == access.DOCUMENT.read_text().splitlines(), (
        "Read the difference as a reviewer. If it is meant: python script/access.py"
    )

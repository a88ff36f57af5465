"""Who runs a batch next."""

from datetime import timedelta

import pytest
from django.utils import timezone

from orders.models import Batch
from tests.factories import StrategyFactory

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def batch(strategy, **fields):
    return Batch.objects.create(strategy=strategy, created_at=NOW, **fields)


def test_what_was_left_to_wait_goes_on_when_an_earlier_batch_is_over():
    mine, others = StrategyFactory(), StrategyFactory()
    later = NOW + timedelta(minutes=5)
    first = batch(mine, claimed_by="me")
    left, run, foreign = (
        batch(mine, claimed_until=later),
        batch(mine, claimed_until=later, claimed_by="someone"),
        batch(others, claimed_until=later),
    )

    Batch.objects.finish(first, by="me", now=NOW)

    until = dict(Batch.objects.unfinished().values_list("pk", "claimed_until"))
    assert until == {left.pk: NOW, run.pk: later, foreign.pk: later}

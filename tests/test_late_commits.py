"""A killed process's last commit may come after its successor has read the rows: a database server finishes alone."""

import pytest
from django.utils import timezone

from orders.execution import batches
from orders.execution.batch_run import resume_batch
from orders.models import Batch, Order
from orders.turns.reference_prices import ReferencePrices
from orders.turns.submission import submit_orders
from tests.crash import never_run, track
from tests.desk import BTC_LIMIT, order_posts

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_order_submitted_behind_the_successor_s_back_is_looked_up(deliver, paper, test1, monkeypatch):
    monkeypatch.setattr(batches, "start_run", never_run)
    deliver(test1.alert(BTC_LIMIT))
    batch = Batch.objects.get()
    Batch.objects.filter(pk=batch.pk).update(claimed_by="successor")
    run = resume_batch(batch, by="successor", clock=timezone.now)

    submit_orders(
        list(batch.orders.all()),
        prices=ReferencePrices(timezone.now, owner=1),
        actor="killed",
        now=timezone.now(),
    )
    run.run()

    assert order_posts(paper) == []
    assert not Order.objects.unreleased().exists()
    assert Order.objects.of_unknown_outcome().count() == 2
    for after_s in (12, 24, 36, 48, 90):
        track(after_s=after_s)
    assert set(Order.objects.values_list("status", flat=True)) == {"rejected"}

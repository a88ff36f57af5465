"""A killed process's last commit may come after its successor has read the rows: a database server finishes alone."""

import pytest
from django.utils import timezone

from orders import batches
from orders.models import Batch, Order
from orders.pricing import PriceDesk
from orders.runner import resume
from orders.sending import prepare
from tests.crash import never_run, track
from tests.desk import BTC_LIMIT, order_posts

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_order_submitted_behind_the_successor_s_back_is_looked_up(deliver, paper, test1, monkeypatch):
    monkeypatch.setattr(batches, "start", never_run)
    deliver(test1.alert(BTC_LIMIT))
    batch = Batch.objects.get()
    Batch.objects.filter(pk=batch.pk).update(claimed_by="successor")
    run = resume(batch, by="successor", clock=timezone.now)

    prepare(list(batch.orders.all()), desk=PriceDesk(timezone.now), actor="killed", now=timezone.now())
    run.run()

    assert order_posts(paper) == []
    assert not Order.objects.unsettled().exists()
    assert Order.objects.of_unknown_outcome().count() == 2
    for after_s in (12, 24, 36, 48, 90):
        track(after_s=after_s)
    assert set(Order.objects.values_list("status", flat=True)) == {"rejected"}

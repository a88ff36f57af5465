"""Names the user of each delivery's token: from now on an id belongs to strategy and user, not to the token."""

from django.db import migrations

PORTION = 2000


def name_users(apps, schema_editor):
    deliveries = apps.get_model("webhooks", "WebhookLog").objects
    rows = deliveries.filter(token__isnull=False, user__isnull=True).select_related("token").order_by("pk")
    while portion := list(rows[:PORTION]):
        for row in portion:
            row.user_id = row.token.user_id
            # Two tokens of a user may have used the same id. The earlier delivery keeps the claim.
            same = {"strategy": row.strategy_id, "user": row.user_id, "dedupe_key": row.dedupe_key}
            if row.dedupe_key is not None and deliveries.filter(**same).exists():
                row.dedupe_key = None
            row.save(update_fields=["user", "dedupe_key"])


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0002_signals")]

    operations = [migrations.RunPython(name_users, migrations.RunPython.noop)]

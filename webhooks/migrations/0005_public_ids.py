from django.db import migrations, models

import webhooks.models

# Random ids of the database itself, in one statement: a table of deliveries is large.
FILL = {
    "postgresql": "UPDATE webhooks_webhooklog SET public_id = replace(gen_random_uuid()::text, '-', '')",
    "sqlite": "UPDATE webhooks_webhooklog SET public_id = lower(hex(randomblob(16)))",
}


def fill(apps, schema_editor):
    schema_editor.execute(FILL[schema_editor.connection.vendor])


class Migration(migrations.Migration):

    dependencies = [
        ('webhooks', '0004_growth'),
    ]

    operations = [
        migrations.AddField(
            model_name='webhooklog',
            name='public_id',
            field=models.CharField(editable=False, max_length=32, null=True, verbose_name='public id'),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='webhooklog',
            name='public_id',
            field=models.CharField(default=webhooks.models.new_public_id, editable=False, max_length=32, verbose_name='public id'),
        ),
        migrations.AddConstraint(
            model_name='webhooklog',
            constraint=models.UniqueConstraint(fields=('public_id',), name='delivery_public_id'),
        ),
    ]

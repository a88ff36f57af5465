"""The progress of audits and loss limits, indexes for what is read by time, and the gate of the archive."""

import django.db.models.deletion
import exchanges.fields
from django.db import migrations, models


# Events of an order in orders_archivegate may be deleted. Its rows live inside one transaction of the archive.
POSTGRESQL = [
    """CREATE OR REPLACE FUNCTION orders_event_refuse() RETURNS trigger AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF EXISTS (SELECT 1 FROM orders_archivegate WHERE order_pk = OLD.order_id) THEN RETURN OLD; END IF;
        END IF;
        RAISE EXCEPTION 'order events are append-only';
    END; $$ LANGUAGE plpgsql""",
]
POSTGRESQL_BACK = [
    """CREATE OR REPLACE FUNCTION orders_event_refuse() RETURNS trigger AS $$
    BEGIN RAISE EXCEPTION 'order events are append-only'; END; $$ LANGUAGE plpgsql""",
]
SQLITE = [
    "DROP TRIGGER orders_event_no_DELETE",
    """CREATE TRIGGER orders_event_no_DELETE BEFORE DELETE ON orders_orderevent
    WHEN NOT EXISTS (SELECT 1 FROM orders_archivegate WHERE order_pk = OLD.order_id)
    BEGIN SELECT RAISE(ABORT, 'order events are append-only'); END""",
]
SQLITE_BACK = [
    "DROP TRIGGER orders_event_no_DELETE",
    """CREATE TRIGGER orders_event_no_DELETE BEFORE DELETE ON orders_orderevent
    BEGIN SELECT RAISE(ABORT, 'order events are append-only'); END""",
]


def run(schema_editor, on_postgresql, on_sqlite):
    for statement in on_sqlite if schema_editor.connection.vendor == "sqlite" else on_postgresql:
        schema_editor.execute(statement)


def open_gate(apps, schema_editor):
    run(schema_editor, POSTGRESQL, SQLITE)


def close_gate(apps, schema_editor):
    run(schema_editor, POSTGRESQL_BACK, SQLITE_BACK)


class Migration(migrations.Migration):

    dependencies = [
        ('exchanges', '0003_comparisons'),
        ('orders', '0006_missed_alerts_of_accounts'),
        ('strategies', '0007_order_budgets'),
    ]

    operations = [
        migrations.CreateModel(
            name='ArchiveGate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('order_pk', models.BigIntegerField(unique=True, editable=False)),
            ],
            options={
                'verbose_name': 'gate of the archive',
                'verbose_name_plural': 'gates of the archive',
            },
        ),
        migrations.CreateModel(
            name='AuditedPosition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('symbol', models.CharField(max_length=80, verbose_name='symbol')),
                ('quantity', exchanges.fields.ExactDecimalField(default=0, verbose_name='quantity')),
            ],
            options={
                'verbose_name': 'audited position',
                'verbose_name_plural': 'audited positions',
            },
        ),
        migrations.CreateModel(
            name='AuditProgress',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('order_pk', models.BigIntegerField(default=0, editable=False)),
                ('event_pk', models.BigIntegerField(default=0, editable=False)),
                ('trade_pk', models.BigIntegerField(default=0, editable=False)),
                ('adjustment_pk', models.BigIntegerField(default=0, editable=False)),
                ('broken_orders', models.JSONField(default=list, editable=False)),
                ('broken_adjustments', models.JSONField(default=list, editable=False)),
            ],
            options={
                'verbose_name': 'progress of the audit',
                'verbose_name_plural': 'progress of the audit',
            },
        ),
        migrations.CreateModel(
            name='ResultMark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('since', models.DateTimeField(null=True, editable=False)),
                ('trade_pk', models.BigIntegerField(default=0, editable=False)),
                ('adjustment_pk', models.BigIntegerField(default=0, editable=False)),
                ('net', exchanges.fields.ExactDecimalField(default=0, verbose_name='net result')),
                ('best', exchanges.fields.ExactDecimalField(default=0, verbose_name='best net result')),
                ('day', models.DateField(null=True, verbose_name='day')),
                ('day_net', exchanges.fields.ExactDecimalField(default=0, verbose_name='net result of the day')),
            ],
            options={
                'verbose_name': 'remembered result',
                'verbose_name_plural': 'remembered results',
            },
        ),
        migrations.AlterModelOptions(
            name='trade',
            options={'ordering': ['-pk'], 'verbose_name': 'trade', 'verbose_name_plural': 'trades'},
        ),
        migrations.RemoveIndex(
            model_name='adjustment',
            name='adjustment_by_position',
        ),
        migrations.RemoveIndex(
            model_name='order',
            name='order_open',
        ),
        migrations.RemoveIndex(
            model_name='order',
            name='order_by_exchange_id',
        ),
        migrations.RemoveIndex(
            model_name='trade',
            name='trade_by_position',
        ),
        migrations.AddField(
            model_name='bookaudit',
            name='is_whole',
            field=models.BooleanField(default=False, help_text='All rows, and not only what changed since the audit before.', verbose_name='whole'),
        ),
        migrations.AddField(
            model_name='order',
            name='archived_as',
            field=models.CharField(blank=True, default='', editable=False, max_length=20, verbose_name='archived as'),
        ),
        migrations.AlterField(
            model_name='order',
            name='account',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='orders', to='exchanges.account', verbose_name='account'),
        ),
        migrations.AlterField(
            model_name='order',
            name='strategy_account',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='orders', to='strategies.strategyaccount', verbose_name='strategy account'),
        ),
        migrations.AlterField(
            model_name='trade',
            name='account',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='trades', to='exchanges.account', verbose_name='account'),
        ),
        migrations.AlterField(
            model_name='trade',
            name='strategy_account',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='trades', to='strategies.strategyaccount', verbose_name='strategy account'),
        ),
        migrations.AddIndex(
            model_name='adjustment',
            index=models.Index(fields=['strategy_account', 'recorded_at'], name='adjustment_by_strategy_account'),
        ),
        migrations.AddIndex(
            model_name='adjustment',
            index=models.Index(fields=['account', 'symbol', 'executed_at'], name='adjustment_by_holding'),
        ),
        migrations.AddIndex(
            model_name='adjustment',
            index=models.Index(fields=['recorded_at'], name='adjustment_by_recording'),
        ),
        migrations.AddIndex(
            model_name='exitgoal',
            index=models.Index(condition=models.Q(('state', 'reached')), fields=['strategy_account', 'symbol', 'over_at'], name='goal_reached'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('status__in', ['initialized', 'queued', 'submitted', 'accepted', 'partially_filled', 'pending_cancel'])), fields=['strategy_account', 'symbol'], name='order_living'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('status__in', ['initialized', 'queued', 'submitted', 'accepted', 'partially_filled', 'pending_cancel'])), fields=['account', 'symbol'], name='order_living_of_account'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('unknown_since__isnull', False)), fields=['account', 'symbol'], name='order_of_unknown_outcome'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(fields=['strategy_account', 'submitted_at'], name='order_by_submission'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(fields=['account', 'symbol', 'submitted_at'], name='order_by_holding'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('submitted_at__isnull', False), models.Q(('status', 'filled'), _negated=True)), fields=['closed_at'], name='order_closed_unfilled'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(fields=['exchange_order_id', 'strategy'], name='order_by_exchange_id'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('status__in', ['denied', 'rejected'])), fields=['-id'], name='order_failed'),
        ),
        migrations.AddIndex(
            model_name='outsideevent',
            index=models.Index(fields=['account', 'symbol', 'executed_at'], name='outside_by_holding'),
        ),
        migrations.AddIndex(
            model_name='trade',
            index=models.Index(fields=['strategy_account', 'recorded_at'], name='trade_by_strategy_account'),
        ),
        migrations.AddIndex(
            model_name='trade',
            index=models.Index(fields=['account', 'symbol', 'executed_at'], name='trade_by_holding'),
        ),
        migrations.AddIndex(
            model_name='trade',
            index=models.Index(fields=['recorded_at'], name='trade_by_recording'),
        ),
        migrations.AddField(
            model_name='auditedposition',
            name='strategy_account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='strategies.strategyaccount', verbose_name='strategy account'),
        ),
        migrations.AddConstraint(
            model_name='auditprogress',
            constraint=models.CheckConstraint(condition=models.Q(('pk', 1)), name='one_audit_progress'),
        ),
        migrations.AddField(
            model_name='resultmark',
            name='strategy_account',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='strategies.strategyaccount', verbose_name='strategy account'),
        ),
        migrations.AddConstraint(
            model_name='auditedposition',
            constraint=models.UniqueConstraint(fields=('strategy_account', 'symbol'), name='one_audited_sum_per_position'),
        ),
        migrations.RunPython(open_gate, close_gate),
    ]

from django.db import migrations, models


POSTGRESQL = [
    """CREATE FUNCTION audit_entry_refuse() RETURNS trigger AS $$
    BEGIN RAISE EXCEPTION 'audit entries are append-only'; END; $$ LANGUAGE plpgsql""",
    """CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_entry_refuse()""",
    """CREATE TRIGGER audit_entry_kept BEFORE TRUNCATE ON audit_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_refuse()""",
]
POSTGRESQL_BACK = [
    "DROP TRIGGER audit_entry_kept ON audit_auditentry",
    "DROP TRIGGER audit_entry_append_only ON audit_auditentry",
    "DROP FUNCTION audit_entry_refuse()",
]
# INSERT OR REPLACE deletes without the DELETE trigger unless recursive_triggers is on: tradehub.environment.
SQLITE = [
    f"""CREATE TRIGGER audit_entry_no_{verb} BEFORE {verb} ON audit_auditentry
    BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END"""
    for verb in ("UPDATE", "DELETE")
]
SQLITE_BACK = ["DROP TRIGGER audit_entry_no_UPDATE", "DROP TRIGGER audit_entry_no_DELETE"]


def run(schema_editor, on_postgresql, on_sqlite):
    for statement in on_sqlite if schema_editor.connection.vendor == "sqlite" else on_postgresql:
        schema_editor.execute(statement)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='AuditHead',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveBigIntegerField(default=0, editable=False, verbose_name='number')),
                ('hash', models.CharField(default='0000000000000000000000000000000000000000000000000000000000000000', max_length=64, editable=False, verbose_name='hash')),
            ],
        ),
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveBigIntegerField(unique=True, verbose_name='number')),
                ('at', models.DateTimeField(db_index=True, verbose_name='at')),
                ('action', models.CharField(choices=[('trading_state.changed', 'Trading state changed'), ('limits.changed', 'Limits changed'), ('row.added', 'Row added'), ('row.changed', 'Row changed'), ('row.deleted', 'Row deleted'), ('key.changed', 'Exchange key changed'), ('pause.lifted', 'Pause lifted'), ('token.issued', 'Token issued'), ('token.revoked', 'Token revoked'), ('token.signature_required', 'Signatures required'), ('token.signature_dropped', 'Signatures no longer required'), ('roles.changed', 'Roles changed'), ('password.changed', 'Password changed'), ('second_factor.added', 'Second factor added'), ('second_factor.removed', 'Second factor removed'), ('sign_in.succeeded', 'Signed in'), ('sign_in.failed', 'Sign-in failed'), ('sign_out', 'Signed out'), ('session.ended', 'Session ended'), ('reauthentication.succeeded', 'Identity confirmed'), ('reauthentication.failed', 'Identity not confirmed'), ('orders.canceled', 'Orders canceled'), ('order.declared_absent', 'Order declared absent'), ('positions.closed', 'Positions closed'), ('exit_goals.ended', 'Exit goals ended'), ('exit_goals.retried', 'Exit goals tried again'), ('participation.ended', 'Participation ended'), ('participation.begun', 'Participation begun'), ('books.adjusted', 'Books adjusted'), ('books.declared_external', 'Declared external'), ('books.adopted', 'Orders adopted'), ('deliveries.refused', 'Deliveries refused'), ('credentials.rotated', 'Credentials encrypted anew'), ('start.unsafe', 'Started with unsafe settings'), ('trail.exported', 'Trail exported')], max_length=40, verbose_name='action')),
                ('actor', models.CharField(max_length=80, verbose_name='actor')),
                ('right', models.CharField(max_length=120, verbose_name='by what right')),
                ('label', models.CharField(blank=True, max_length=150, verbose_name='name of the actor')),
                ('address', models.CharField(blank=True, max_length=45, verbose_name='network address')),
                ('target_type', models.CharField(blank=True, max_length=60, verbose_name='kind of target')),
                ('target_id', models.CharField(blank=True, max_length=40, verbose_name='id of the target')),
                ('target', models.CharField(blank=True, max_length=200, verbose_name='target')),
                ('before', models.JSONField(default=dict, verbose_name='before')),
                ('after', models.JSONField(default=dict, verbose_name='after')),
                ('reason', models.CharField(blank=True, max_length=200, verbose_name='reason')),
                ('previous_hash', models.CharField(editable=False, max_length=64, verbose_name='hash of the entry before')),
                ('hash', models.CharField(editable=False, max_length=64, verbose_name='hash')),
            ],
            options={
                'verbose_name': 'audit entry',
                'verbose_name_plural': 'audit entries',
                'ordering': ['-number'],
                'indexes': [models.Index(fields=['target_type', 'target_id', '-number'], name='entries_of_target')],
            },
        ),
        migrations.RunPython(
            lambda apps, editor: run(editor, POSTGRESQL, SQLITE),
            lambda apps, editor: run(editor, POSTGRESQL_BACK, SQLITE_BACK),
        ),
    ]

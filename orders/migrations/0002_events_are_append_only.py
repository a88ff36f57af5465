from django.db import migrations

POSTGRESQL = [
    """CREATE FUNCTION orders_event_refuse() RETURNS trigger AS $$
    BEGIN RAISE EXCEPTION 'order events are append-only'; END; $$ LANGUAGE plpgsql""",
    """CREATE TRIGGER orders_event_append_only BEFORE UPDATE OR DELETE ON orders_orderevent
    FOR EACH ROW EXECUTE FUNCTION orders_event_refuse()""",
    """CREATE TRIGGER orders_event_kept BEFORE TRUNCATE ON orders_orderevent
    FOR EACH STATEMENT EXECUTE FUNCTION orders_event_refuse()""",
]
POSTGRESQL_BACK = [
    "DROP TRIGGER orders_event_kept ON orders_orderevent",
    "DROP TRIGGER orders_event_append_only ON orders_orderevent",
    "DROP FUNCTION orders_event_refuse()",
]
# INSERT OR REPLACE deletes without the DELETE trigger unless recursive_triggers is on: tradehub.environment.
SQLITE = [
    f"""CREATE TRIGGER orders_event_no_{verb} BEFORE {verb} ON orders_orderevent
    BEGIN SELECT RAISE(ABORT, 'order events are append-only'); END"""
    for verb in ("UPDATE", "DELETE")
]
SQLITE_BACK = ["DROP TRIGGER orders_event_no_UPDATE", "DROP TRIGGER orders_event_no_DELETE"]


def run(schema_editor, on_postgresql, on_sqlite):
    for statement in on_sqlite if schema_editor.connection.vendor == "sqlite" else on_postgresql:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial")]
    operations = [
        migrations.RunPython(
            lambda apps, editor: run(editor, POSTGRESQL, SQLITE),
            lambda apps, editor: run(editor, POSTGRESQL_BACK, SQLITE_BACK),
        )
    ]

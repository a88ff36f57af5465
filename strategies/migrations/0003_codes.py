from django.db import migrations, models

import strategies.codes


def give_codes(apps, schema_editor):
    accounts = apps.get_model("strategies", "StrategyAccount").objects
    rows = list(accounts.filter(code="").only("pk"))
    for row in rows:
        row.code = strategies.codes.new_code()
    accounts.bulk_update(rows, ["code"], batch_size=500)


class Migration(migrations.Migration):
    dependencies = [("strategies", "0002_exits")]

    operations = [
        migrations.RunPython(give_codes, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="strategyaccount",
            name="code",
            field=models.CharField(
                default=strategies.codes.new_code, editable=False, max_length=8, unique=True
            ),
        ),
    ]

import django.contrib.auth.models
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


ROLES = ("owner", "operator", "auditor", "support")


def set_groups_aside(apps, schema_editor):
    """A group that happens to have a role's name keeps its rights and members, under another name."""
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.name = f"{group.name} (before roles)"
        group.save(update_fields=["name"])


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name='Right',
            fields=[
            ],
            options={
                'verbose_name': 'right',
                'verbose_name_plural': 'rights',
                'permissions': [('halt', 'Can halt trading, or let only exits out'), ('resume', 'Can let trading go on'), ('operate_orders', 'Can cancel orders, close positions and decide about doubts'), ('change_limits', 'Can change limits and budgets'), ('replace_keys_of_others', 'Can enter exchange keys for accounts of others'), ('issue_tokens_for_others', 'Can issue tokens for others'), ('manage_people', 'Can manage people and their roles')],
                'proxy': True,
                'default_permissions': (),
                'indexes': [],
                'constraints': [],
            },
            bases=('auth.permission',),
            managers=[
                ('objects', django.contrib.auth.models.PermissionManager()),
            ],
        ),
        migrations.CreateModel(
            name='TotpDevice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='The human-readable name of this device.', max_length=64)),
                ('confirmed', models.BooleanField(default=True, help_text='Is this device ready for use?')),
                ('throttling_failure_timestamp', models.DateTimeField(blank=True, default=None, help_text='A timestamp of the last failed verification attempt. Null if last attempt succeeded.', null=True)),
                ('throttling_failure_count', models.PositiveIntegerField(default=0, help_text='Number of successive failed attempts.')),
                ('sealed_key', models.TextField(editable=False, verbose_name='key')),
                ('last_step', models.BigIntegerField(default=-1, editable=False, verbose_name='time step of the last code')),
                ('created_at', models.DateTimeField(editable=False, verbose_name='created at')),
                ('user', models.ForeignKey(help_text='The user that this device belongs to.', on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'second factor',
                'verbose_name_plural': 'second factors',
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='RecoveryCode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(editable=False, max_length=64, unique=True, verbose_name='digest')),
                ('used_at', models.DateTimeField(editable=False, null=True, verbose_name='used at')),
                ('device', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='recovery_codes', to='staff.totpdevice', verbose_name='second factor')),
            ],
            options={
                'verbose_name': 'recovery code',
                'verbose_name_plural': 'recovery codes',
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='SignIn',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.CharField(blank=True, editable=False, max_length=45, verbose_name='network address')),
                ('browser', models.CharField(blank=True, editable=False, max_length=200, verbose_name='browser')),
                ('began_at', models.DateTimeField(editable=False, verbose_name='began at')),
                ('seen_at', models.DateTimeField(editable=False, verbose_name='last seen at')),
                ('ended_at', models.DateTimeField(editable=False, null=True, verbose_name='ended at')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sign_ins', to=settings.AUTH_USER_MODEL, verbose_name='person')),
            ],
            options={
                'verbose_name': 'session',
                'verbose_name_plural': 'sessions',
                'ordering': ['-seen_at'],
                'default_permissions': (),
                'indexes': [models.Index(fields=['user', '-seen_at'], name='sessions_of_person')],
            },
        ),
        migrations.AddConstraint(
            model_name='totpdevice',
            constraint=models.UniqueConstraint(fields=('user',), name='one_second_factor_per_person'),
        ),
        migrations.RunPython(set_groups_aside, migrations.RunPython.noop),
    ]

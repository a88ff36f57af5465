from importlib import import_module

import pytest
from django.core.management import call_command
from django_q.models import Schedule

from tradehub.schedules import JOBS


@pytest.mark.django_db
def test_migrating_schedules_every_job_once():
    call_command("migrate", verbosity=0)
    call_command("migrate", verbosity=0)

    assert sorted(Schedule.objects.values_list("name", flat=True)) == sorted(job.name for job in JOBS)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_every_job_names_a_function(job):
    module, _, name = job.func.rpartition(".")

    assert callable(getattr(import_module(module), name))


@pytest.mark.django_db
def test_a_job_that_is_no_longer_listed_is_removed():
    Schedule.objects.create(name="old job", func="gone.away", cluster="tradehub")

    call_command("migrate", verbosity=0)

    assert not Schedule.objects.filter(name="old job").exists()

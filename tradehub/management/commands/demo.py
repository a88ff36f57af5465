from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tradehub.demo.processes import ChildDied
from tradehub.demo.run import Demo, PortTaken


class Command(BaseCommand):
    help = "Runs the whole product on this machine, with a paper exchange; ./script/demo calls it."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            Demo(say=self.say).run()
        except (PortTaken, ChildDied, TimeoutError) as error:
            raise CommandError(str(error)) from error

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

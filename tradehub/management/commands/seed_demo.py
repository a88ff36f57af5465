from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from tradehub.demo.access import read_access, write_access
from tradehub.demo.seed import seed_demo


class Command(BaseCommand):
    help = "Makes the demo's users, accounts, strategies and tokens; var/demo.json says how to use them."

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / "var/demo.json"
        url = f"https://localhost:{settings.WEB_PORT}"
        write_access(path, seed_demo(before=read_access(path), url=url, now=timezone.now()))
        self.stdout.write(f"Wrote {path}")

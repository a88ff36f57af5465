#!/usr/bin/env python
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.umask(0o077)  # databases, logs and keys that it makes are their owner's only
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradehub.settings")
    execute_from_command_line(sys.argv)

import os

from django.core.wsgi import get_wsgi_application

os.umask(0o077)  # files of the program are for their owner only, under every user's umask
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradehub.settings")
application = get_wsgi_application()

import os

from django.core.wsgi import get_wsgi_application

os.umask(0o077)  # whoever starts it, what it makes is its owner's only
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradehub.settings")
application = get_wsgi_application()

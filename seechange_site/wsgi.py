"""The site for a web server: `gunicorn seechange_site.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
application = get_wsgi_application()

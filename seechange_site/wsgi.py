"""The site for a web server: `gunicorn seechange_site.wsgi`."""

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
application = get_wsgi_application()

# What is loaded now stays: the garbage collector need not stop requests to look through it again and again.
_ = get_resolver().url_patterns
gc.collect()
gc.freeze()

"""Everything comes from the environment; nothing needs to be set for use on a laptop."""

from __future__ import annotations

from pathlib import Path

from seechange_site import env

BASE_DIR = Path(__file__).resolve().parent.parent

# One folder holds the database, the files, the archive and the logs.
SEECHANGE_DATA = env.folder("SEECHANGE_DATA", BASE_DIR / "data")
SEECHANGE_CONFIG = env.text("SEECHANGE_CONFIG", str(BASE_DIR / "processing" / "configs" / "default.yaml"))
SEECHANGE_ARCHIVE = env.text("SEECHANGE_ARCHIVE")  # a directory behind the local files; none when empty
SEECHANGE_ALERTS = Path(env.text("SEECHANGE_ALERTS", str(SEECHANGE_DATA / "alerts")))
SEECHANGE_KAFKA = env.kafka()
SEECHANGE_OBJECT_NAMES = env.text("SEECHANGE_OBJECT_NAMES", "SC{yy}{letters}")  # as products.services.naming has it
# Folders where raw files arrive, with colons between them: what people may name on the conductor's page.
SEECHANGE_INCOMING = [folder for folder in env.text("SEECHANGE_INCOMING").split(":") if folder]
SEECHANGE_CONDUCTOR = env.text("SEECHANGE_CONDUCTOR", "http://127.0.0.1:8000")  # what launchers ask for exposures
SEECHANGE_CLAIM_TOKEN = env.text("SEECHANGE_CLAIM_TOKEN")
SEECHANGE_NOIRLAB = env.text("SEECHANGE_NOIRLAB", "https://astroarchive.noirlab.edu")  # archive of DECam exposures
SEECHANGE_NOIRLAB_TOKEN = env.text("SEECHANGE_NOIRLAB_TOKEN")  # for exposures that are not public yet
SEECHANGE_CCD_MEMORY = env.integer("SEECHANGE_CCD_MEMORY", 16)  # GB that the process of one CCD may use; 0: any
SEECHANGE_CCD_CPU = env.integer("SEECHANGE_CCD_CPU", 3600)  # seconds of CPU time; 0: any

DEBUG = env.boolean("DEBUG", True)
SECRET_KEY = env.kept_secret("SECRET_KEY", SEECHANGE_DATA / "secret_key")
ALLOWED_HOSTS = env.text("ALLOWED_HOSTS", "localhost 127.0.0.1 [::1] testserver").split()
CSRF_TRUSTED_ORIGINS = env.text("CSRF_TRUSTED_ORIGINS").split()

# Apps ---------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "seechange_site.admin_site.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "django_q",
    "seechange_site",
    "products",
    "processing",
    "conductor",
]
MIDDLEWARE = [
    "seechange_site.middleware.content_security",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "seechange_site.middleware.refuse_nul",
]
# Whether pages can be read without an account: on a laptop they can, on a public site that has to be said.
ANONYMOUS_READING = env.boolean("ANONYMOUS_READING", DEBUG)
if not ANONYMOUS_READING:
    MIDDLEWARE.append("django.contrib.auth.middleware.LoginRequiredMiddleware")
ROOT_URLCONF = "seechange_site.urls"
WSGI_APPLICATION = "seechange_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "seechange_site.context.frame",
            ],
        },
    },
]

# Database -----------------------------------------------------------------------------------------------
DATABASES = {"default": env.database(env.text("DATABASE_URL"), SEECHANGE_DATA)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Queue: a task only says what to do; the rows own the truth, so a task that runs twice does no harm. ----------
QUEUE_TIMEOUT = env.integer("QUEUE_TIMEOUT", 3600)
QUEUE_TASKS = ("processing.tasks", "conductor.tasks")  # modules whose own functions may run
QUEUE_SCHEDULES = {  # name: (function, every so many minutes)
    "watches": ("conductor.tasks.watch_all", 1),
    "alerts": ("processing.tasks.send_alerts", 5),
}
Q_CLUSTER = {
    "name": "seechange",
    "orm": "default",
    "broker_class": "processing.queue.broker.Broker",
    "workers": env.integer("QUEUE_WORKERS", 2),
    "queue_limit": 1,  # a task waits in the database, where any cluster can take it, not in the hand of one
    "bulk": 1,
    "poll": 0.5,
    "timeout": QUEUE_TIMEOUT,
    "retry": 2 * QUEUE_TIMEOUT
    + 600,  # counts from the hand-out; `manage.py cluster` uses shorter leases and renews them
    "max_attempts": 3,
    "ack_failures": True,  # what failed once with a reason fails again
    "recycle": 20,  # tasks that a worker does before it makes room for a fresh one
    "save_limit": 500,
    "catch_up": False,
    "daemonize_workers": False,  # an exposure starts one process a CCD
}

# REST ---------------------------------------------------------------------------------------------------
API_RATE = env.text("API_RATE", "1200/min")  # requests of one token, person or address
API_FORCED_RATE = env.text("API_FORCED_RATE", "30/min")  # those of them that ask for forced photometry
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "seechange_site.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["seechange_site.authentication.ScopePermission"],
    "DEFAULT_RENDERER_CLASSES": ["seechange_site.json.Numbers"],
    "DEFAULT_PARSER_CLASSES": ["seechange_site.json.Strict"],
    "DEFAULT_THROTTLE_CLASSES": ["seechange_site.authentication.Throttle"],
    "DEFAULT_PAGINATION_CLASS": "products.api.parameters.Pages",
    "DEFAULT_FILTER_BACKENDS": [
        "products.api.parameters.StrictFilters",
        "products.api.parameters.StrictOrdering",
    ],
    "DEFAULT_SCHEMA_CLASS": "seechange_site.api.Described",
    "EXCEPTION_HANDLER": "seechange_site.api.errors",
    "URL_FORMAT_OVERRIDE": None,  # `format=` is a parameter like others: there is none
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "SeeChange",
    "DESCRIPTION": "Exposures, what was made of them, what changed, and the work that waits.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["seechange_site.authentication.ScopePermission"],
    "POSTPROCESSING_HOOKS": [
        "seechange_site.api.document_errors",
    ],
}

# What processes share for a while: how often somebody asked, which clusters of the queue live. ----------------
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": SEECHANGE_DATA / "cache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}

# Mail: of links to set a password; none is sent without EMAIL_HOST. -------------------------------------------
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.integer("EMAIL_PORT", 587)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", EMAIL_PORT == 587)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("DEFAULT_FROM_EMAIL", "seechange@localhost")

# Language, time, files ----------------------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = SEECHANGE_DATA / "staticfiles"
STATIC_ROOT.mkdir(exist_ok=True)
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False
STORAGES = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"}}

# People -------------------------------------------------------------------------------------------------
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# Security -----------------------------------------------------------------------------------------------
# Proxies in front of the site: each adds to X-Forwarded-For, and the first replaces X-Forwarded-Proto.
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0)
REST_FRAMEWORK["NUM_PROXIES"] = TRUSTED_PROXIES
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
# Pages may set sizes and places in `style` attributes; everything else comes from files of the site.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
if not DEBUG:
    SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", True)
    SECURE_REDIRECT_EXEMPT = [r"^health/$"]  # who watches the service asks it directly
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"

# Logging ------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {  # what the queue does
        "django-q": {"level": env.text("LOG_LEVEL", "INFO")},
        "processing.queue": {"level": env.text("LOG_LEVEL", "INFO")},
    },
    "root": {"handlers": ["stderr"], "level": env.text("LOG_LEVEL", "WARNING")},
}

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
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
Q_CLUSTER = {
    "name": "seechange",
    "orm": "default",
    "workers": env.integer("QUEUE_WORKERS", 2),
    "queue_limit": 1,
    "bulk": 1,
    "timeout": 3600,
    "retry": 4 * 3600,
    "max_attempts": 3,
    "ack_failures": True,
    "recycle": 20,
    "save_limit": 500,
    "catch_up": False,
    "daemonize_workers": False,  # an exposure starts one process a CCD
}

# REST ---------------------------------------------------------------------------------------------------
API_RATE = env.text("API_RATE", "1200/min")  # requests of one token, person or address
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "seechange_site.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["seechange_site.authentication.ScopePermission"],
    "DEFAULT_RENDERER_CLASSES": ["seechange_site.json.Numbers"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_THROTTLE_CLASSES": ["seechange_site.authentication.Throttle"],
    "DEFAULT_PAGINATION_CLASS": "products.api.parameters.Pages",
    "DEFAULT_FILTER_BACKENDS": [
        "products.api.parameters.StrictFilters",
        "products.api.parameters.StrictOrdering",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "seechange_site.api.errors",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "SeeChange",
    "DESCRIPTION": "Exposures, what was made of them, what changed, and the work that waits.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
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

# Language, time, files ----------------------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = SEECHANGE_DATA / "staticfiles"
STATIC_ROOT.mkdir(exist_ok=True)
WHITENOISE_USE_FINDERS = True
STORAGES = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"}}

# People -------------------------------------------------------------------------------------------------
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_SAMESITE = "Lax"
if not DEBUG:
    SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", True)
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

# Logging ------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"django-q": {"level": env.text("LOG_LEVEL", "INFO")}},  # what the workers of the queue do
    "root": {"handlers": ["stderr"], "level": env.text("LOG_LEVEL", "WARNING")},
}

"""Settings. The environment gives every value with differences between machines; see .env.example."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from tradehub.environment import (
    BASE_DIR,
    at_least,
    cache,
    choice,
    database,
    env,
    fernet_keys,
    file_path,
    flag,
    natural_int,
    networks,
    optional_file_path,
    port,
    positive_int,
    required,
)

SECRET_KEY = required("SECRET_KEY", "Put a long random value in .env; ./script/demo makes one.")
CREDENTIAL_KEYS = fernet_keys("CREDENTIAL_KEYS")
DEBUG = flag("DEBUG", False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "staff.apps.StaffAdminConfig",  # Django's admin, with our site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_q",
    "django_otp",
    "audit",
    "staff",
    "exchanges",
    "strategies",
    "orders",
    "webhooks",
    "tradehub",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tradehub.http.headers.SecurityHeaders",
    "django.middleware.locale.LocaleMiddleware",
    "tradehub.http.addresses.RefuseImpossibleAddresses",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tradehub.http.alerts_first.AlertsFirst",  # what follows is for people, who have a session
    "tradehub.http.client_address.ClientAddress",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "staff.sign_in.gate.StaffGate",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "tradehub.urls"
WSGI_APPLICATION = "tradehub.wsgi.application"
APPEND_SLASH = False  # the webhook answers with and without a slash; a redirect would lose the alert
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": database("DATABASE_URL", "sqlite:///var/tradehub.sqlite3")}
PREPARE_STATEMENTS = flag("PREPARE_STATEMENTS", True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": cache("CACHE_URL")}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "staff.sign_in.passwords.ContextWordsValidator"},
]
# The first makes new hashes; a hash of another is made anew at the next sign-in.
PASSWORD_HASHERS = [
    "staff.sign_in.passwords.PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]
STAFF_SECOND_FACTOR = flag("STAFF_SECOND_FACTOR", True)

LANGUAGE_CODE = "ko"
LANGUAGES = [("ko", _("Korean")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True
# Nobody has to be known to send a body, so every body is bounded alike. The largest form of the admin has a few KiB.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "strategies.authentication.ApiTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "tradehub.http.api_errors.exception_handler",
}

# The web server, started by manage.py serve.
WEB_HOST = env.str("WEB_HOST", default="127.0.0.1")
WEB_PORT = port("WEB_PORT", 5001)
WEB_PROCESSES = positive_int("WEB_PROCESSES", 1)
# Requests and runs of batches that wait hold no thread. Each thread keeps a database connection: see tradehub.checks.
WEB_THREADS = positive_int("WEB_THREADS", 12)
ANSWER_THREADS = 4
# Whole requests that wait for a thread, of one sender and of all. A request beyond gets 503, so the sender repeats it.
WEB_WAITING_PER_SENDER = positive_int("WEB_WAITING_PER_SENDER", 300)
WEB_WAITING = positive_int("WEB_WAITING", 1_000)
RUN_THREADS = positive_int("RUN_THREADS", 8)
EVIDENCE_THREADS = 4
TRACKER_THREADS = 2
TLS_CERT = file_path("TLS_CERT", "var/tls/cert.pem")
TLS_KEY = file_path("TLS_KEY", "var/tls/key.pem")

# Production security. The demo serves TLS itself; behind a proxy that ends TLS set TRUST_PROXY_TLS.
SECURE_SSL_REDIRECT = flag("SECURE_SSL_REDIRECT", False)
# A redirect would lose an alert, so the webhook refuses an alert without TLS and says why.
SECURE_REDIRECT_EXEMPT = [r"^api/webhook/?$"]
TRUSTED_PROXIES = networks("TRUSTED_PROXIES")
if flag("TRUST_PROXY_TLS", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = natural_int("SECURE_HSTS_SECONDS", 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
# By the prefix __Host-, browsers take these cookies from this host only, over TLS, for every path.
if not DEBUG:
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
CSRF_COOKIE_HTTPONLY = True
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # no cookie of its own
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())
SESSION_IDLE_MINUTES = positive_int("SESSION_IDLE_MINUTES", 60)
X_FRAME_OPTIONS = "DENY"

DEFAULT_EXCEPTION_REPORTER = "tradehub.exception_report.MaskedReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "tradehub.exception_report.SecretsHidden"

LOG_LEVEL = choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"mask": {"()": "tradehub.masking.MaskingFilter"}},
    "formatters": {
        "line": {
            "()": "tradehub.masking.MaskingFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
        "nowhere": {"class": "logging.NullHandler"},
    },
    "root": {
        "handlers": ["console"],
        "level": LOG_LEVEL,
    },
    # At DEBUG, ccxt logs signed requests, headers and bodies with keys and signatures: never below INFO.
    "loggers": {
        "ccxt": {"level": "INFO"},
        "aiohttp": {"level": "INFO"},
        "asyncio": {"level": "INFO"},
        # A stranger's 404s and wrong hosts must not fill the disk, with a line or even a stack trace for each.
        "django.request": {"filters": ["mask"], "level": "ERROR"},
        "django.security": {"handlers": ["nowhere"], "propagate": False},
    },
}

# django-q2: the database row is the truth and a task is only a hint, so losing or repeating a task is harmless.
Q_CLUSTER = {
    "name": "tradehub",
    "label": "django-q2",
    "workers": positive_int("Q_WORKERS", 1),
    "timeout": 120,
    # The lease of a task starts when the worker takes the task: longer than timeout, or a slow task runs twice.
    "retry": 300,
    "max_attempts": 2,  # the default 0 would repeat a failing task for ever
    "ack_failures": True,
    "catch_up": False,
    "save_limit": 500,
    "max_rss": 400_000,
    "orm": "default",
    "broker_class": "tradehub.worker.brokers.GuardedOrm",
}
if Q_REDIS_URL := env.str("Q_REDIS_URL", default=""):
    Q_CLUSTER.pop("orm")
    Q_CLUSTER |= {"redis": Q_REDIS_URL, "broker_class": "tradehub.worker.brokers.GuardedRedis"}

WEBHOOK_MAX_BYTES = DATA_UPLOAD_MAX_MEMORY_SIZE
WEBHOOK_MAX_LEGS = positive_int("WEBHOOK_MAX_LEGS", 30)
WEBHOOK_ANSWER_BUDGET_MS = positive_int("WEBHOOK_ANSWER_BUDGET_MS", 2500)
WEBHOOK_TOKEN_RATE_PER_MINUTE = positive_int("WEBHOOK_TOKEN_RATE_PER_MINUTE", 600)
WEBHOOK_FAILED_AUTH_PER_MINUTE = positive_int("WEBHOOK_FAILED_AUTH_PER_MINUTE", 30)
WEBHOOK_ALLOWED_SENDERS = networks("WEBHOOK_ALLOWED_SENDERS")
WEBHOOK_RETENTION_DAYS = at_least("WEBHOOK_RETENTION_DAYS", 7, 365)  # ids are remembered for 7 days

PRICE_MAX_AGE_S = positive_int("PRICE_MAX_AGE_S", 10)
MARKETS_MAX_AGE_S = positive_int("MARKETS_MAX_AGE_S", 6 * 3600)
EXCHANGE_TIMEOUT_S = positive_int("EXCHANGE_TIMEOUT_S", 10)
ORDER_MAX_WAIT_S = positive_int("ORDER_MAX_WAIT_S", 60)
EXIT_ASK_AFTER_S = at_least("EXIT_ASK_AFTER_S", 60, default=3600)  # see orders.domain.exits
ABSENCE_HORIZON_S = at_least("ABSENCE_HORIZON_S", 60)  # see orders.reconciliation.absence
TRACK_INTERVAL_S = positive_int("TRACK_INTERVAL_S", 2)
WATERMARK_FILE = optional_file_path("WATERMARK_FILE", "var/watermark")  # see orders.outside.books_gap
AUDIT_ANCHOR_FILE = optional_file_path("AUDIT_ANCHOR_FILE", "var/audit-anchor")  # see audit.anchor
PAPER_EXCHANGE_URL = env.str("PAPER_EXCHANGE_URL", default="http://127.0.0.1:5002")
WARM_CONNECTIONS = natural_int("WARM_CONNECTIONS", 200)  # see exchanges.adapters.warm_connections
EXCHANGE_CA_FILE = env.str("EXCHANGE_CA_FILE", default="")  # for exchanges with a certificate of our own

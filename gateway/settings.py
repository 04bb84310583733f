"""Postern's settings, read from the environment; `docs/settings.md` explains each one.

Nothing here has an unsafe default for a network: without SECRET_KEY or MASTER_KEYS a command line works
(with keys that die with the process), but `gateway.checks` keeps a server from starting.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF

from gateway.credentials.secret import Secret
from gateway.environment import Environment, database, options, proxies, public_key

env = Environment(os.environ)

VERSION = "0.1.0"
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / "var"))).resolve()
AUDIT_KEY_DIR = Path(env.text("AUDIT_KEY_DIR", str(DATA_DIR / "audit-keys"))).resolve()
CACHE_DIR = Path(env.text("CACHE_DIR", str(DATA_DIR / "cache"))).resolve()

DEBUG = env.flag("DEBUG")
SECRET_KEY = env.secret("SECRET_KEY")
SECRET_KEY_IS_EPHEMERAL = not SECRET_KEY
if SECRET_KEY_IS_EPHEMERAL:
    SECRET_KEY = secrets.token_urlsafe(48)
SECRET_KEY_FALLBACKS = [key for key in [env.secret("SECRET_KEY_PREVIOUS")] if key]
MASTER_KEYS: dict[str, bytes] = env.keys("MASTER_KEYS")  # key id -> key; the first one seals
MASTER_KEY_VAULT_URL = env.text("MASTER_KEY_VAULT_URL").rstrip("/")  # set: Vault's transit engine seals
MASTER_KEY_VAULT_KEY = env.text("MASTER_KEY_VAULT_KEY", "postern")
MASTER_KEY_VAULT_MOUNT = env.text("MASTER_KEY_VAULT_MOUNT", "transit").strip("/")
MASTER_KEY_VAULT_NAMESPACE = env.text("MASTER_KEY_VAULT_NAMESPACE")
MASTER_KEY_VAULT_TOKEN = Secret(env.secret("MASTER_KEY_VAULT_TOKEN"))
MASTER_KEY_VAULT_TOKEN_FILE = env.text("MASTER_KEY_VAULT_TOKEN_FILE")  # read anew each time: agents renew it
MASTER_KEY_VAULT_CA_FILE = env.text("MASTER_KEY_VAULT_CA_FILE")
MASTER_KEY_VAULT_PRIVATE = env.flag("MASTER_KEY_VAULT_PRIVATE")  # allow private addresses for it

# --- where it listens -------------------------------------------------------------------------------
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS")
PLAIN_HTTP = env.flag("PLAIN_HTTP")  # cookies without Secure, no redirect to https: loopback only
TRUSTED_PROXY_HEADER = env.flag("TRUST_X_FORWARDED_PROTO")
PUBLIC_URL = env.text("PUBLIC_URL").rstrip("/")  # what addresses begin with that people are given
TRUSTED_PROXIES = proxies("TRUSTED_PROXIES", env.names("TRUSTED_PROXIES"))  # None: nobody's X-Forwarded-For
ROOT_URLCONF = "gateway.urls"
ASGI_APPLICATION = "gateway.asgi.application"
APPEND_SLASH = True

# --- what it is made of -----------------------------------------------------------------------------
INSTALLED_APPS = [
    "gateway",
    "policies",
    "approvals",
    "audit",
    "gateway.site.Admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "gateway.identity.signed_in.SignedIn",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "gateway.identity.step_up.StepUp",
    "simple_history.middleware.HistoryRequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
SIMPLE_HISTORY_DATE_INDEX = False  # ids sort by time already
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- where it remembers -----------------------------------------------------------------------------
DATABASE = database(
    env.text("DATABASE_URL", f"sqlite:///{DATA_DIR / 'postern.sqlite3'}"), env.secret("DATABASE_PASSWORD")
)
if DATABASE["ENGINE"].endswith("postgresql"):
    DATABASE["CONN_HEALTH_CHECKS"] = True
    DATABASE["OPTIONS"] = {
        "connect_timeout": 5,
        "application_name": "postern",
        "keepalives_idle": 10,  # seconds: a server that vanished is noticed within half a minute
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        "options": "-c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000",
        **DATABASE["OPTIONS"],
    }
else:
    # BEGIN IMMEDIATE: a transaction that reads first and writes later would fail at once, whatever the
    # timeout. synchronous=FULL: with NORMAL a power cut can take back a commit that was answered.
    DATABASE["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000;",
    }
DATABASES = {"default": DATABASE}

AUDIT_ANCHORS = env.names("AUDIT_ANCHORS", (f"dir:{DATA_DIR / 'checkpoints'}",))
AUDIT_EXPORT_DIR = Path(env.text("AUDIT_EXPORT_DIR", str(DATA_DIR / "exports"))).resolve()
AUDIT_EXPORT_DAYS = env.integer("AUDIT_EXPORT_DAYS", 7, least=1)
AUDIT_EXPORT_MB = env.integer("AUDIT_EXPORT_MB", 2048, least=1)
AUDIT_WORDS_PER_CALL = env.integer("AUDIT_WORDS_PER_CALL", 200)
AUDIT_SINKS = env.names("AUDIT_SINKS")
AUDIT_SINKS_BEGIN = env.choice("AUDIT_SINKS_BEGIN", ("now", "start"))  # where one begins that is new
AUDIT_SINK_SECRET = Secret(env.secret("AUDIT_SINK_SECRET"))
AUDIT_CA_FILE = env.text("AUDIT_CA_FILE")
AUDIT_STORAGE_BACKEND = env.text("AUDIT_STORAGE_BACKEND")
AUDIT_ORIGINALS_KEY = public_key("AUDIT_ORIGINALS_KEY", env.text("AUDIT_ORIGINALS_KEY"))
AUDIT_ORIGINALS_KEY_DIR = env.text(
    "AUDIT_ORIGINALS_KEY_DIR"
)  # of the private halves: where originals are read
AUDIT_SESSION_GAP = env.integer("AUDIT_SESSION_GAP", 1800, least=1)
AUDIT_SESSION_HINT_GAP = env.integer("AUDIT_SESSION_HINT_GAP", 86_400, least=1)

OPEN_APPROVALS_PER_CALLER = env.integer("OPEN_APPROVALS_PER_CALLER", 50, least=1)

STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if AUDIT_STORAGE_BACKEND:
    STORAGES["audit"] = {
        "BACKEND": AUDIT_STORAGE_BACKEND,
        "OPTIONS": options("AUDIT_STORAGE_OPTIONS", env.secret("AUDIT_STORAGE_OPTIONS")),
    }

REDIS_URL = env.secret("REDIS_URL")
SESSION_ENGINE = "django.contrib.sessions.backends.db"

# --- who may come in --------------------------------------------------------------------------------
AUTH_USER_MODEL = "gateway.User"
ROLE_BACKEND = "gateway.identity.backend.RoleBackend"  # says who may do what, and where
AUTHENTICATION_BACKENDS = [ROLE_BACKEND]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
OIDC_ISSUER = env.text("OIDC_ISSUER")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = Secret(env.secret("OIDC_CLIENT_SECRET"))
OIDC_SCOPES = env.text("OIDC_SCOPES", "openid profile email")
OIDC_REQUIRED_CLAIMS = env.pairs("OIDC_REQUIRED_CLAIMS")
LOCAL_SIGN_IN = env.flag(
    "LOCAL_SIGN_IN",
    default=not OIDC_ISSUER and set(ALLOWED_HOSTS) <= {"localhost", "127.0.0.1", "[::1]", "::1"},
)
STEP_UP_SECONDS = env.integer("STEP_UP_SECONDS", 0)
STEP_UP_ACR = env.text("STEP_UP_ACR")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator")
] + [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    }
]

# --- what a browser is told -------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
SECURE_SSL_REDIRECT = False  # the front proxy owns port 80; here it would only hide a misrouted client
SILENCED_SYSTEM_CHECKS = ["security.W008"]  # the line above
SECURE_HSTS_SECONDS = 0 if PLAIN_HTTP else env.integer("HSTS_SECONDS", 31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("HSTS_INCLUDE_SUBDOMAINS")
SECURE_HSTS_PRELOAD = env.flag("HSTS_PRELOAD")
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_HEADER else None
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not PLAIN_HTTP
SESSION_COOKIE_NAME = "sessionid" if PLAIN_HTTP else "__Host-sessionid"
CSRF_COOKIE_NAME = "csrftoken" if PLAIN_HTTP else "__Host-csrftoken"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = env.integer("SESSION_HOURS", 10, least=1) * 3600
SESSION_IDLE_SECONDS = env.integer("SESSION_IDLE_MINUTES", 60) * 60  # 0: a sign-in may be left alone
FILE_UPLOAD_HANDLERS = ["policies.uploads.BoundedUpload"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024  # the console's forms; calls to models have their own limit

# --- the REST API: no installed apps, since it has no pages and no tables ---------------------------
REST_FRAMEWORK: dict[str, Any] = {
    # What a view gets that forgets to be a `gateway.api.base.ApiView`: nobody comes in.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "gateway.api.problems.handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Postern",
    "DESCRIPTION": "Schemas, policies, access rules and endpoints of an inference governance gateway.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
}

# --- language, time, files --------------------------------------------------------------------------
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = env.text("TIME_ZONE", "UTC")
FORMAT_MODULE_PATH = ["gateway.formats"]
ENVIRONMENT = env.text("ENVIRONMENT", "")  # shown beside the name on every page
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # served from where they lie: no collecting step that could be forgotten
WHITENOISE_ALLOW_ALL_ORIGINS = False

# --- rotation of the models' secrets ----------------------------------------------------------------
ROTATORS: list[str] = env.names("ROTATORS")  # modules of your own, beside the rotators that come with it
LEVELS = ("public", "internal", "confidential", "restricted")
MAX_DAYS = {"confidential": 365, "restricted": 180}  # that a secret may be in use, by its endpoints' level
CREDENTIAL_MAX_DAYS = env.counts("CREDENTIAL_MAX_DAYS", LEVELS, MAX_DAYS)
ROTATION_SWEEP_SECONDS = env.integer("ROTATION_SWEEP_SECONDS", 5, least=1)  # between looks for what is due

# --- background work --------------------------------------------------------------------------------
BROKER_DIR = DATA_DIR / "broker"
CELERY_BROKER_URL = REDIS_URL or "folder://localhost"
CELERY_BROKER_TRANSPORT = None if REDIS_URL else "gateway.doorbells:Transport"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {"visibility_timeout": 3600} if REDIS_URL else {"folder": str(BROKER_DIR / "queues")}
)
CELERY_BEAT_SCHEDULE = {
    "forget-expired-logins": {"task": "gateway.tasks.forget_expired_logins", "schedule": 86_400.0},
    "close-sessions": {"task": "audit.tasks.close_sessions", "schedule": 300.0},
    "close-lost-calls": {"task": "audit.tasks.close_lost_calls", "schedule": 60.0},
    "make-partitions": {"task": "audit.tasks.make_partitions", "schedule": 3600.0},
    "preview-traffic": {"task": "gateway.tasks.preview_traffic", "schedule": 5.0},
    "expire-approvals": {"task": "approvals.tasks.expire", "schedule": 15.0},
    "escalate-approvals": {"task": "approvals.tasks.escalate", "schedule": 15.0},
    "notify": {"task": "gateway.tasks.notify", "schedule": 5.0, "options": {"expires": 5.0}},
    "checkpoint": {"task": "gateway.tasks.checkpoint", "schedule": 30.0, "options": {"expires": 30.0}},
    "tell-sinks": {"task": "gateway.tasks.tell_sinks", "schedule": 5.0, "options": {"expires": 5.0}},
    "watch-endpoints": {
        "task": "gateway.tasks.watch_endpoints",
        "schedule": 10.0,
        "options": {"expires": 10.0},
    },
    "rotate": {
        "task": "gateway.tasks.rotate",
        "schedule": float(ROTATION_SWEEP_SECONDS),
        "options": {"expires": 5.0},
    },
    "rotate-old": {"task": "gateway.tasks.rotate_old", "schedule": 600.0},
    "forget-deliveries": {"task": "gateway.tasks.forget_deliveries", "schedule": 3600.0},
    "export-calls": {"task": "audit.tasks.export_calls", "schedule": 5.0, "options": {"expires": 5.0}},
    "forget-exports": {"task": "audit.tasks.forget_exports", "schedule": 600.0},
    "retain": {"task": "audit.tasks.retain", "schedule": 600.0, "options": {"expires": 600.0}},
    "erase": {"task": "audit.tasks.erase", "schedule": 10.0, "options": {"expires": 10.0}},
    "index-fingerprints": {"task": "audit.tasks.index_fingerprints", "schedule": 30.0},
    "derive": {"task": "audit.tasks.derive_from_record", "schedule": 5.0, "options": {"expires": 5.0}},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(BROKER_DIR / "schedule")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # nothing here asks a worker for anything but its tasks

# --- mails about held requests: none without a server ------------------------------------------------
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.integer("EMAIL_PORT", 587, least=1)
EMAIL_HOST_USER = env.text("EMAIL_USER")
EMAIL_HOST_PASSWORD = env.secret("EMAIL_PASSWORD")
EMAIL_SECURITY = env.choice("EMAIL_SECURITY", ("starttls", "tls", "none"))
EMAIL_USE_TLS, EMAIL_USE_SSL = EMAIL_SECURITY == "starttls", EMAIL_SECURITY == "tls"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "postern@localhost")

# --- log lines: what happened, never what was said ---------------------------------------------------
LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "filters": {"places": {"()": "gateway.logs.PlacesOnly"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["places"]}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "httpx": {"level": "WARNING"},  # says addresses
        "httpcore": {"level": "WARNING"},  # says headers
    },
}

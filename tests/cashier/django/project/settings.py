"""The shop's settings; PROJECT_DATABASE names its database: a file, or a URL of PostgreSQL."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, urlsplit


def database(place: str) -> dict[str, Any]:
    """Make an entry of DATABASES."""
    if not place.startswith("postgresql"):
        options = {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": place, "OPTIONS": options}
    url = urlsplit(place)
    schema = parse_qs(url.query)["schema"][0]
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path[1:],
        "USER": url.username,
        "PASSWORD": url.password or "",
        "HOST": url.hostname,
        "PORT": url.port,
        "OPTIONS": {"options": f"-c search_path={schema} -c synchronous_commit=off"},
    }


ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
DATABASES = {"default": database(os.environ.get("PROJECT_DATABASE", ":memory:"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "paycollect.cashier.django",
    "tests.cashier.django.project",
]
LOGGING_CONFIG = None
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = os.environ.get("PROJECT_URLS", "tests.cashier.django.project.urls")
SECRET_KEY = "of-these-tests"
STATIC_URL = "static/"
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
TIME_ZONE = "UTC"
USE_TZ = True

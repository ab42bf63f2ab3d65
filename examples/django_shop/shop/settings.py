"""What is special here stands first; the rest is what `startproject` writes."""

import os

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "paycollect.cashier.django",
    "shop",
]
PAYCOLLECT_CASHIER = "shop.payments:cashier"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", "shop.db"),
        # Transactions that read first and write later would fail where another one wrote.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
}
SHOP_URL = os.environ.get("SHOP_URL", "http://127.0.0.1:8080")

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only-for-your-desk")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

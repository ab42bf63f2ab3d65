"""The shop's app."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Has one model."""

    name = "tests.cashier.django.project"
    label = "shop"

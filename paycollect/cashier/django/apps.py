"""The app: its tables are `paycollect_order` and so on, as those of the other stores."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks as django_checks


class CashierConfig(AppConfig):
    """The app "paycollect.cashier.django"."""

    name = "paycollect.cashier.django"
    label = "paycollect"
    verbose_name = "Payments"

    def ready(self) -> None:
        """Have `manage.py check` look at what must be right.

        All of it reads settings only: with the tag "database" it would not be done by default.
        """
        from paycollect.cashier.django import checks  # noqa: PLC0415  # URLs and models come later

        django_checks.register(checks.check_databases)
        django_checks.register(checks.check_cashier)
        django_checks.register(checks.check_views, django_checks.Tags.urls)

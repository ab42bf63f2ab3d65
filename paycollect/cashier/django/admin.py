"""The admin: what is held, what happened to an order, and a person's decisions.

Invariants: a decision goes through the cashier, under the name of who decides, and names the hold
that the page has shown. The pages are outside of ATOMIC_REQUESTS, as the cashier commits by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import connections, transaction
from django.utils.html import format_html, format_html_join

from paycollect.cashier.django.models import Order, Stray, TimelineEntry
from paycollect.cashier.django.named import call, named
from paycollect.errors import PayCollectError


def _outside_of_atomic_requests(view: Callable[..., Any]) -> Callable[..., Any]:
    for alias in connections:
        mark: Any = transaction.non_atomic_requests(using=alias)
        view = mark(view)
    return view


def _all_but(model: Any, *hidden: str) -> tuple[str, ...]:
    return tuple(field.name for field in model._meta.fields if field.name not in hidden)  # noqa: SLF001  # Django's public name


class DecisionForm(ActionForm):
    """The choice of an action, with a note beside it."""

    note = forms.CharField(required=False, max_length=200)


class _HeldFilter(admin.SimpleListFilter):
    """Held or not."""

    title = "held for a person"
    parameter_name = "held"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002  # Django's names
        return [("1", "Yes"), ("0", "No")]

    def queryset(self, request: Any, queryset: Any) -> Any:  # noqa: ARG002  # Django's names
        if self.value() is None:
            return queryset
        return queryset.filter(held_at__isnull=self.value() == "0")


class _ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows, and offers decisions about them."""

    action_form = DecisionForm
    actions_on_bottom = False  # there would be two notes

    @_outside_of_atomic_requests
    def changelist_view(self, request: Any, extra_context: Any = None) -> Any:
        return super().changelist_view(request, extra_context)

    def has_add_permission(self, request: Any) -> bool:  # noqa: ARG002  # Django's names
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:  # noqa: ARG002  # as above
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:  # noqa: ARG002  # as above
        return False

    def has_decide_permission(self, request: Any) -> bool:
        """Tell who may decide; Django asks this for each action."""
        allowed: bool = request.user.has_perm("paycollect.decide_order")
        return allowed

    @admin.display(description="held", ordering="held_at")
    def held(self, row: Any) -> str:
        """Show why it is held; which hold that is travels with the form."""
        if row.held_at is None:
            return ""
        reason = row.reason if isinstance(row, Stray) else row.held_reason
        hidden = '{}<input type="hidden" name="hold:{}" value="{}">'
        return str(format_html(hidden, reason, row.pk, row.hold_id))

    def _decide(
        self, request: Any, rows: Any, what: str, decide: Callable[[Any, str, str], None]
    ) -> None:
        """Have the cashier carry out a decision about each row; say what became of them."""
        cashier = named()
        done = 0
        for row in rows:
            # Without a hold that was shown, none is meant: the cashier says that it has changed.
            shown = request.POST.get(f"hold:{row.pk}", "-")
            try:
                decide(cashier, row.pk, shown)
            except PayCollectError as error:
                self.message_user(request, f"{row.pk}: {error}", messages.ERROR)
            else:
                done += 1
        if done:
            self.message_user(request, f"{what}: {done}", messages.SUCCESS)

    @admin.action(description="Dismiss: settle without a delivery", permissions=["decide"])
    def dismiss(self, request: Any, queryset: Any) -> None:
        """Settle holds without a delivery."""
        note = request.POST.get("note", "").strip()
        if not note:
            self.message_user(request, "Write into the note why.", messages.ERROR)
            return

        def decide(cashier: Any, key: str, hold_id: str) -> None:
            call(cashier.dismiss, key, note, by=_who(request), hold_id=hold_id)

        self._decide(request, queryset, "Dismissed", decide)


def _who(request: Any) -> str:
    return str(request.user.get_username())


class OrderAdmin(_ReadOnlyAdmin):
    """Orders, and what a person decides about them."""

    list_display = (
        "order_id",
        "state",
        "held",
        "amount",
        "currency",
        "created_at",
        "paid_at",
        "found_by",
        "last_error",
    )
    list_filter = (_HeldFilter, "state")
    search_fields = ("order_id__startswith", "collection_id__exact")
    ordering = ("-created_at",)
    show_full_result_count = False
    actions = ("replay", "release", "release_and_accept", "dismiss")
    # The nonce is a proof; the request and the record may hold what the merchant or payer wrote.
    readonly_fields = (
        *_all_but(Order, "nonce", "request", "record", "checkout", "lease", "lease_until"),
        "timeline",
    )

    @admin.display(description="timeline")
    def timeline(self, order: Any) -> str:
        """Show what happened to an order."""
        lines = TimelineEntry.objects.using(order._state.db).filter(order_id=order.pk)  # noqa: SLF001  # where Django keeps it
        rows = (
            (f"{line.at:%Y-%m-%d %H:%M:%S} UTC", line.what, line.detail, line.done_by)
            for line in lines.order_by("at", "id")
        )
        return str(format_html_join("", "<div>{}: {} {} {}</div>", rows))

    @admin.action(description="Replay: ask the provider again now", permissions=["decide"])
    def replay(self, request: Any, queryset: Any) -> None:
        """Confirm orders once more, and deliver what is paid; what is delivered stays so."""

        def decide(cashier: Any, key: str, _hold_id: str) -> None:
            call(cashier.replay, key)

        self._decide(request, queryset, "Replayed", decide)

    @admin.action(description="Release: check again", permissions=["decide"])
    def release(self, request: Any, queryset: Any) -> None:
        """Settle holds, and have the orders checked as if they were seen for the first time."""

        def decide(cashier: Any, key: str, hold_id: str) -> None:
            call(cashier.release, key, by=_who(request), hold_id=hold_id)

        self._decide(request, queryset, "Released", decide)

    @admin.action(description="Accept: deliver in spite of the reason", permissions=["decide"])
    def release_and_accept(self, request: Any, queryset: Any) -> None:
        """Settle holds, and deliver in spite of their reasons."""

        def decide(cashier: Any, key: str, hold_id: str) -> None:
            call(cashier.release, key, accept=True, by=_who(request), hold_id=hold_id)

        self._decide(request, queryset, "Accepted", decide)


class StrayAdmin(_ReadOnlyAdmin):
    """Payments that belong to no order."""

    list_display = ("id", "order_id", "held", "held_at", "note")
    list_filter = (_HeldFilter,)
    actions = ("dismiss",)
    readonly_fields = _all_but(Stray, "record")


admin.site.register(Order, OrderAdmin)
admin.site.register(Stray, StrayAdmin)

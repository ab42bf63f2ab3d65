"""The shop's cashiers: one for an event loop, one for views that block."""

from __future__ import annotations

from paycollect import SessionManager, sync
from paycollect.cashier import Cashier, DjangoStore, Handlers, Payment
from paycollect.ipn import Receiver
from tests.cashier.django.project.models import Parcel

shop: Handlers[None] = Handlers()


@shop.on_paid
def ship(payment: Payment) -> None:
    """Deliver."""
    Parcel.objects.create(order_id=payment.order_id)


@shop.on_closed
def give_back(_closed: object) -> None:
    """Give the stock back."""


@shop.on_refunded
def take_back(_refunded: object) -> None:
    """Take it back."""


receiver = Receiver.from_env()
cashier = Cashier(SessionManager.from_env(), receiver, DjangoStore(), handlers=shop)
blocking = sync.Cashier(sync.SessionManager.from_env(), receiver, DjangoStore(), handlers=shop)

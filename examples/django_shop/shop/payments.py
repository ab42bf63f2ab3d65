"""The cashier of the shop, which PAYCOLLECT_CASHIER in the settings names."""

from __future__ import annotations

import logging

from paycollect.cashier import Handlers, Held, Payment
from paycollect.cashier.django.store import DjangoStore
from paycollect.ipn import Receiver
from paycollect.sync import Cashier, SessionManager

from .models import Order, Parcel

log = logging.getLogger("shop")
shop: Handlers[None] = Handlers()


@shop.on_paid
def ship(payment: Payment) -> None:
    """Deliver: in the transaction that marks the order, so that both happen or neither."""
    Parcel.objects.create(order=Order.objects.get(number=payment.order_id))


@shop.on_held
def alarm(held: Held) -> None:
    """Tell a person: the admin's list of orders shows what waits for them."""
    log.error("order %s needs a person: %s", held.order_id, held.reason)


cashier = Cashier(SessionManager.from_env(), Receiver.from_env(), DjangoStore(), handlers=shop)

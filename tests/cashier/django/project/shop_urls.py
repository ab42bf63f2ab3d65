"""The shop's views, in both forms."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from paycollect.web.django import webhook_urls
from tests.cashier.django.project.models import Parcel
from tests.cashier.django.project.payments import blocking, cashier

atomic: Any = transaction.atomic  # which has two forms, that no checker tells apart


def say(text: str) -> HttpResponse:
    """Answer with a text."""
    return HttpResponse(text.encode())


def order_of(request: HttpRequest) -> dict[str, Any]:
    """Read the order."""
    return {"amount": "25.00", "order_id": request.GET["order"], "description": "Premium plan"}


def buy(request: HttpRequest) -> HttpResponse:
    """Store the order and its intent together, and give the id of the checkout."""
    with atomic():
        blocking.intend(None, **order_of(request))
    checkout = blocking.checkout_for(str(request.GET["order"]))
    return say(checkout.collection_id)


async def buy_async(request: HttpRequest) -> HttpResponse:
    """Give the id of the checkout."""
    checkout = await cashier.create_checkout(**order_of(request))
    return say(checkout.collection_id)


def back(request: HttpRequest) -> HttpResponse:
    """Take the customer back."""
    returned = blocking.returned(request.get_full_path())
    return say(f"{returned.standing} {returned.delivered}")


async def back_async(request: HttpRequest) -> HttpResponse:
    """Take the customer back."""
    returned = await cashier.returned(request.get_full_path())
    return say(f"{returned.standing} {returned.delivered}")


def parcels(_request: HttpRequest) -> HttpResponse:
    """List what was delivered, each time."""
    return say(" ".join(Parcel.objects.order_by("order_id").values_list("order_id", flat=True)))


async def parcels_async(request: HttpRequest) -> HttpResponse:
    """List what was delivered, each time."""
    return await sync_to_async(parcels)(request)


urlpatterns = [
    *webhook_urls("webhook", cashier),
    path("wsgi/buy", buy),
    path("wsgi/back", back),
    path("wsgi/parcels", parcels),
    path("asgi/buy", buy_async),
    path("asgi/back", back_async),
    path("asgi/parcels", parcels_async),
]

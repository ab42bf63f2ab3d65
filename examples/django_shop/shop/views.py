"""What customers see."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.utils.html import format_html
from django.views.decorators.http import require_GET, require_POST

from paycollect.cashier import Standing

from .models import Order
from .payments import cashier

PRICE = "25.00"
FORM = (
    '<form method="post" action="/buy"><button>Buy for {} USD</button>'
    '<input type="hidden" name="csrfmiddlewaretoken" value="{}"></form>'
)
PAGES = {
    Standing.PAID: "Thank you! Your order is on its way.",
    Standing.PENDING: "We are still waiting for your payment.",
    Standing.NOT_PAID: "This order was not paid.",
    Standing.UNKNOWN: "We could not find out yet whether this order is paid.",
}


@require_GET
def show(request: HttpRequest) -> HttpResponse:
    """Show what is for sale."""
    return HttpResponse(format_html(FORM, PRICE, get_token(request)))


@require_POST
def buy(_: HttpRequest) -> HttpResponse:
    """Note the order and its payment in one transaction; then send the customer to the checkout."""
    number = f"INV-{secrets.token_hex(4).upper()}"
    with transaction.atomic():
        Order.objects.create(number=number, amount=PRICE)
        cashier.intend(
            None,  # the transaction is Django's own
            amount=PRICE,
            order_id=number,
            description="A plan",
            callback_url=f"{settings.SHOP_URL}/return",
            webhook_url=f"{settings.SHOP_URL}/webhook",
        )
    answer = HttpResponseRedirect(cashier.checkout_for(number).checkout_url)
    answer.status_code = 303
    return answer


@require_GET
def come_back(request: HttpRequest) -> HttpResponse:
    """Show how it stands: by the provider's record, not by the URL."""
    return HttpResponse(PAGES[cashier.returned(request.get_full_path()).standing])

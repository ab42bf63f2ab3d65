"""Sample events to send to one's own endpoint, in the two forms that the provider publishes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from paycollect import _arguments as check
from paycollect.sandbox.options import EnvelopeVersion, Scheme, Shapes
from paycollect.testing import COLLECTION_ID, sign_webhook, webhook_data

ORDER_ID: Final = "ORDER-1"
_FORGED: Final = "whsec_of_nobody"
_CENT: Final = Decimal("0.01")


def body(
    secret: str,
    *,
    event: str = "collection.received",
    status: str = "COMPLETED",
    amount: str = "25.00",
    order_id: str = ORDER_ID,
    collection_id: str = COLLECTION_ID,
    is_test: bool = True,
    forged: bool = False,
    shapes: Shapes = "events",
    scheme: Scheme = "raw",
    envelope: EnvelopeVersion = "3.0",
) -> bytes:
    """Make a signed event; a test delivery has ids that no collection has, as the provider's do.

    Raises:
        ValueError: a wrong amount.

    """
    mark = "TEST_" if is_test else ""
    data = webhook_data(
        status,
        amount=check.amount(amount).quantize(_CENT),
        collection_id=mark + collection_id,
        order_id=mark + order_id,
        shapes=shapes,
        is_test=is_test,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return sign_webhook(data, _FORGED if forged else secret, scheme, envelope, event=event)

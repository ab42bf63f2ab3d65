"""What happened to an order, in the words of a person who did not write the shop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from paycollect.cashier import Entry

_WORDS: Final = {
    "intended": "The shop noted the order, of {}.",
    "open": "The provider has made the checkout {}.",
    "given up": "The shop has given the order up: what is paid from now on is held.",
    "seen": "The provider was asked, and said: {}.",
    "not known yet": "The provider was asked, and gave no answer that tells: {}.",
    "paid": "The provider's record says that it is paid; {}.",
    "fulfilled": "Delivered ({}).",
    "closed": "Closed without a delivery: {}.",
    "refunded": "The money was given back in full {}.",
    "partially_refunded": "The money was given back in part {}.",
    "held": "Waits for a person: {}.",
    "alarmed": "A person was told of it (on_held).",
    "settled": "The hold has settled itself: {}.",
    "released": "Released: it is checked again.",
    "dismissed": "Dismissed: {}.",
    "attributed": "The payment {} was given to this order.",
    "after_paid": "What follows the delivery is done (after_paid, {}).",
    "after_paid failed": "What follows the delivery has failed, and is tried again: {}.",
    "after_paid again": "What follows the delivery is done again, as a person asked for.",
    "webhook": "A webhook arrived: {}.",
}
REASONS: Final = {
    "amount_mismatch": "paid, but not the amount of the order",
    "currency_mismatch": "paid, but in another currency",
    "order_mismatch": "the provider's record is for another order",
    "order_id_taken": "the provider has this order id already, and not from this shop",
    "unknown_order": "paid, but the shop knows no order for it",
    "handler_failing": "paid, but the delivery (on_paid) has failed too often",
    "handler_broke_transaction": "the delivery (on_paid) ended its transaction: look whether it"
    " was delivered",
    "after_paid_failing": "delivered, but what follows (after_paid) has failed too often",
    "too_late": "paid after the order was closed, or given up",
    "refunded_before_delivery": "paid, and refunded in part before the delivery",
    "stuck": "the provider has not said how it ended, a day after it should have",
}
ADVICE: Final = {
    "amount_mismatch": "release --accept delivers all the same; or refund it, and dismiss",
    "currency_mismatch": "release --accept delivers all the same; or refund it, and dismiss",
    "order_mismatch": "look at the collection; release --accept delivers all the same",
    "order_id_taken": "dismiss it, and let the customer start again with another order id",
    "unknown_order": "attribute gives it to an order; or refund it, and dismiss",
    "handler_failing": "repair on_paid, and release",
    "handler_broke_transaction": "deliver by hand and dismiss, or release to deliver again",
    "after_paid_failing": "repair after_paid, and release",
    "too_late": "release --accept delivers all the same; or refund it, and dismiss",
    "refunded_before_delivery": "release --accept delivers all the same; or dismiss",
    "stuck": "ask the provider's support about the collection, and release",
}


def sentence(entry: Entry) -> str:
    """Tell a line of a timeline; one of a later release as it stands."""
    what, detail = entry.what, entry.detail
    if what == "held":
        detail = reason(detail)
    if what == "webhook":
        status, _, outcome = detail.partition(" ")
        detail = status if outcome else f"{status}; it is not handled yet"
    if what.startswith("released, "):
        told = f"Released in spite of this: {reason(what[10:].removesuffix(' accepted'))}."
    elif what in _WORDS:
        told = _WORDS[what].format(detail).replace(" .", ".").replace(" ()", "")
    else:
        told = f"{what} {detail}".strip()
    return f"{told} By {entry.by}." if entry.by else told


def reason(text: str) -> str:
    """Say why something is held; what follows the reason stays."""
    name, comma, rest = text.partition(", ")
    return REASONS.get(name, name) + comma + rest

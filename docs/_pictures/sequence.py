"""The messages of a payment as SVG, as they were sent in one payment that is made for it.

A real shop, the sandbox, and somebody who buys; each message is noted when it is sent or arrives.
The colours follow the reader's choice of light or dark.
"""

from __future__ import annotations

import asyncio
import tempfile
from html import escape
from pathlib import Path
from typing import Final

from attrs import frozen

from paycollect import SessionManager
from paycollect.cashier import Cashier
from paycollect.ipn import Receiver
from paycollect.observe import AttemptEnded, AttemptStarted, Record
from paycollect.sandbox import Sandbox
from paycollect.testing import sign_webhook, webhook_data

PICTURES: Final = Path(__file__).parents[1] / "pictures"
WHO: Final = ("customer", "your service", "provider")
WIDTH, STEP, TOP = 760, 38, 76
STYLE: Final = """
    text { font: 13px system-ui, sans-serif; fill: #1f2937 }
    .who { font-weight: 600; font-size: 14px }
    .soft { fill: #64748b }
    line, path { stroke: #64748b; stroke-width: 1.3; fill: none }
    .life { stroke-dasharray: 3 4; opacity: .6 }
    .box { fill: #eef2ff; stroke: #4f46e5 }
    polygon { fill: #64748b }
    @media (prefers-color-scheme: dark) {
      text { fill: #e5e7eb } .soft { fill: #94a3b8 } .box { fill: #1e1b4b; stroke: #818cf8 }
      line, path { stroke: #94a3b8 } polygon { fill: #94a3b8 }
    }
"""


@frozen
class Message:
    """Who says what to whom; to oneself: what is done there."""

    sender: int
    receiver: int
    text: str
    is_soft: bool = False


async def play() -> list[Message]:
    """Make a payment, and note its messages."""
    said: list[Message] = []

    def note(record: Record) -> None:
        if isinstance(record, AttemptStarted):
            said.append(Message(1, 2, f"{record.method} {record.template}"))
        elif isinstance(record, AttemptEnded):
            said.append(Message(2, 1, f"HTTP {record.status}", is_soft=True))

    async with Sandbox(time_scale=0) as sandbox:
        pay = SessionManager(
            app_id=sandbox.app_id,
            secret_key=sandbox.secret_key,
            base_url=sandbox.base_url,
            observers=[note],
        )
        receiver = Receiver(secrets=sandbox.webhook_secret)
        with tempfile.TemporaryDirectory() as folder:
            cashier = Cashier(pay, receiver, Path(folder) / "shop.db", clock=sandbox.clock)

            @cashier.on_paid
            def ship(_: object, __: object) -> None:
                said.append(Message(1, 1, "on_paid, and the mark: one transaction"))

            async with pay:
                await cashier.run_once()  # its first look for itself is not what this is about
                said.clear()
                said.append(Message(0, 1, "buys"))
                said.append(Message(1, 1, "the intent is on the disk"))
                checkout = await cashier.create_checkout(
                    amount="25.00", order_id="INV-001", description="Premium plan"
                )
                said.append(Message(1, 0, "redirect to checkout_url", is_soft=True))
                said.append(Message(0, 2, "pays on the provider's page"))
                await sandbox.pay(checkout.collection_id)
                said.append(Message(2, 1, "signed webhook"))
                data = webhook_data("COMPLETED", amount="25.00", order_id="INV-001")
                data["collectionId"] = checkout.collection_id
                answer = await cashier.receive(sign_webhook(data, sandbox.webhook_secret))
                said.append(Message(1, 1, "proven, and stored"))
                said.append(Message(1, 2, f"HTTP {answer.status}", is_soft=True))
                await cashier.run_once()
                said.append(Message(0, 1, "comes back: ?status=COMPLETED"))
                back = await cashier.returned(
                    f"https://shop.example/return?batch={checkout.collection_id}&status=COMPLETED"
                )
                text = f"{back.standing}, delivered: {back.delivered}"
                said.append(Message(1, 0, text, is_soft=True))
                await cashier.aclose()
    return said


def draw(said: list[Message]) -> str:
    """Write the messages as SVG, one below the other."""
    places = [WIDTH * (2 * number + 1) / (2 * len(WHO)) for number in range(len(WHO))]
    height = TOP + STEP * len(said) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>The messages of a payment</title><style>{STYLE}</style>",
    ]
    for name, x in zip(WHO, places, strict=True):
        lines.append(f'<text class="who" x="{x}" y="28" text-anchor="middle">{name}</text>')
        lines.append(f'<line class="life" x1="{x}" y1="42" x2="{x}" y2="{height - 8}"/>')
    for number, message in enumerate(said):
        lines += _row(message, TOP + STEP * number, places)
    return "\n".join([*lines, "</svg>\n"])


def _row(message: Message, y: float, places: list[float]) -> list[str]:
    start, end = places[message.sender], places[message.receiver]
    text = escape(message.text)
    kind = ' class="soft"' if message.is_soft else ""
    if message.sender == message.receiver:
        half = 4 + 3.6 * len(message.text)
        box = f'x="{start - half}" y="{y - 15}" width="{2 * half}" height="24" rx="5"'
        return [
            f'<rect class="box" {box}/>',
            f'<text x="{start}" y="{y + 2}" text-anchor="middle">{text}</text>',
        ]
    tip = -8 if end > start else 8
    return [
        f'<text{kind} x="{(start + end) / 2}" y="{y - 6}" text-anchor="middle">{text}</text>',
        f'<line x1="{start}" y1="{y}" x2="{end}" y2="{y}"/>',
        f'<polygon points="{end},{y} {end + tip},{y - 4} {end + tip},{y + 4}"/>',
    ]


(PICTURES / "sequence.svg").write_text(draw(asyncio.run(play())), "utf-8")

"""A shop on FastAPI and SQLAlchemy: what is paid is delivered once, also if it is killed.

In one terminal `paycollect sandbox`; in another paste the settings that it prints, then

    python examples/fastapi_shop.py

and open http://127.0.0.1:8080. SHOP_DATABASE may name a PostgreSQL database, for many machines:
postgresql+asyncpg://user@host/shop.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from paycollect import PayCollectError, SessionManager
from paycollect.cashier import Cashier, Handlers, Payment, Standing
from paycollect.cashier.sqlalchemy import SqlAlchemyStore, immediate
from paycollect.ipn import Receiver
from paycollect.web.starlette import webhook_routes

shop: Handlers[AsyncSession] = Handlers()

PORT = int(os.environ.get("PORT", "8080"))
URL = os.environ.get("SHOP_URL", f"http://127.0.0.1:{PORT}")
PRICE = "25.00"
engine = create_async_engine(os.environ.get("SHOP_DATABASE", "sqlite+aiosqlite:///shop.db"))
if engine.dialect.name == "sqlite":
    immediate(engine)  # SQLite's transactions as the cashier needs them
Session = async_sessionmaker(engine)


class Base(DeclarativeBase):
    """The shop's tables; the cashier makes its own beside them."""


class Order(Base):
    """What was ordered."""

    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[str]


class Parcel(Base):
    """What went out."""

    __tablename__ = "parcels"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str]


@shop.on_paid
async def ship(tx: AsyncSession, payment: Payment) -> None:
    """Deliver: in the transaction that marks the order, so that both happen or neither."""
    tx.add(Parcel(order_id=payment.order_id))


pay = SessionManager.from_env()
cashier = Cashier(pay, Receiver.from_env(), SqlAlchemyStore(Session), handlers=shop)


@asynccontextmanager
async def alive(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables; the cashier's worker lives as long as the app."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with pay, cashier:
        yield
    await engine.dispose()


app = FastAPI(lifespan=alive, routes=webhook_routes("/webhook", cashier))


@app.get("/", response_class=HTMLResponse)
async def show() -> str:
    """Show what is for sale."""
    return f'<form method="post" action="/buy"><button>Buy for {PRICE} USD</button></form>'


@app.post("/buy")
async def buy() -> RedirectResponse:
    """Note the order and its payment in one transaction; then send the customer to the checkout."""
    order_id = f"INV-{secrets.token_hex(4).upper()}"
    async with Session.begin() as tx:
        tx.add(Order(id=order_id, amount=PRICE))
        await cashier.intend(
            tx,
            amount=PRICE,
            order_id=order_id,
            description="A plan",
            callback_url=f"{URL}/return",
            webhook_url=f"{URL}/webhook",
        )
    try:
        checkout = await cashier.checkout_for(order_id)
    except PayCollectError:
        raise HTTPException(503, "Payment is not available. You were not charged.") from None
    return RedirectResponse(checkout.checkout_url, 303)


@app.get("/return", response_class=HTMLResponse)
async def come_back(request: Request) -> str:
    """Show how it stands: by the provider's record, not by the URL."""
    back = await cashier.returned(str(request.url))
    return "Thank you!" if back.standing is Standing.PAID else f"Your payment: {back.standing}"


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT)

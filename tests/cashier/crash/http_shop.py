"""A shop whose provider and whose webhooks are on the other side of real HTTP.

The schedules of the crash test need no HTTP, so that thousands take minutes. Here the session
manager's own transport, aiohttp's connections and the adapter are under the same storms: an answer
that is lost is a connection that ends, and so is a death between a request and its answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from paycollect import SessionManager
from paycollect.crash import Shop, World
from paycollect.crash.life import DeathError
from paycollect.errors import ConnectError
from paycollect.retry import RetryPolicy
from paycollect.sandbox.options import APP_ID, SECRET_KEY
from paycollect.web.aiohttp import webhook_routes
from tests.cashier.crash.shops import Ship, shop_of

REQUESTS: list[str] = []
"""What the servers were asked, to show that they were."""


async def serve(*routes: web.RouteDef) -> tuple[web.AppRunner, str]:
    """Start a server on loopback; gives its address."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def provider_of(world: World) -> web.RouteDef:
    """Make the provider's side: it asks the world's books, or hangs up."""

    async def handle(request: web.Request) -> web.StreamResponse:
        REQUESTS.append(f"{request.method} {request.path}")
        name = f"request:{request.method} {request.path}"
        try:
            world.reach(f"{name}:send")
            reply = world._ask(
                request.method, request.path_qs, request.headers, await request.read()
            )
            world.reach(f"{name}:sent")
        except (DeathError, ConnectError):
            reply = None
        if reply is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    return web.route("*", "/{path:.*}", handle)


class OverHttp:
    """A cashier that is given its webhooks by a server; the rest is the cashier's own."""

    def __init__(self, cashier: Any, url: str) -> None:
        self._cashier = cashier
        self._url = url

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cashier, name)

    async def receive(self, body: bytes) -> web.Response:
        """Post it; 503 where the server hangs up, as the provider would see no answer."""
        try:
            async with aiohttp.ClientSession() as http, http.post(self._url, data=body) as answer:
                return web.Response(status=answer.status)
        except aiohttp.ClientError:
            return web.Response(status=503)


def shop_over_http(ship: Ship) -> Callable[[World], Awaitable[Shop]]:
    """Make a shop as `shop_of` does, with servers of its own for as long as it lives."""

    async def make_shop(world: World) -> Shop:
        provider, provider_url = await serve(provider_of(world))
        world.pay = SessionManager(
            app_id=APP_ID,
            secret_key=SECRET_KEY,
            base_url=provider_url,
            clock=world.clock,
            retry=RetryPolicy(max_retries=1),
        )
        shop = shop_of(ship)(world)
        webhooks, shop_url = await serve(*webhook_routes("/webhook", shop.cashier))
        cashier: Any = OverHttp(shop.cashier, f"{shop_url}/webhook")

        async def close() -> None:
            await world.pay.aclose()
            await webhooks.cleanup()
            await provider.cleanup()

        return Shop(
            cashier=cashier,
            delivered=shop.delivered,
            gave_back=shop.gave_back,
            took_back=shop.took_back,
            close=close,
        )

    return make_shop

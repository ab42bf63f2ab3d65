"""Each example serves its customers, and delivers each paid order once, whenever it is killed."""

from __future__ import annotations

import asyncio
import random
import sys
import uuid
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, Example, Town, until
from tests.tokens.test_redis import server as server  # noqa: PLC0414  a fixture

WORKER = (
    *("-m", "celery", "--app", "examples.celery_shop:tasks", "worker", "--pool", "solo"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
FLASK = Example(name="flask", commands=(("examples/flask_shop.py",),))
FASTAPI = Example(
    name="fastapi",
    commands=(("examples/fastapi_shop.py",),),
    database="sqlite+aiosqlite:///PATH",
)
DJANGO = Example(
    name="django",
    folder=EXAMPLES / "django_shop",
    prepare=("manage.py", "migrate", "--run-syncdb"),
    commands=(("manage.py", "runserver", "--noreload", "PORT"), ("manage.py", "paycollect_worker")),
    parcels="SELECT number FROM shop_parcel JOIN shop_order ON shop_order.id = order_id",
)
CELERY = Example(name="celery", commands=(("-m", "examples.celery_shop"),))

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
    pytest.mark.timeout(150),
]


@pytest.mark.parametrize("example", [FLASK, FASTAPI, DJANGO], ids=lambda example: example.name)
async def test_killed_at_any_moment(town: Town, example: Example) -> None:
    """Once right after a payment, once at a random moment; started again, all is delivered once."""
    await serve_and_kill(town, example)


@pytest.fixture
def queue(server: str) -> dict[str, str]:
    """Give the settings of a queue that is nobody else's."""
    return {"CELERY_BROKER_URL": server, "SHOP_QUEUE": f"shop-{uuid.uuid4().hex}"}


async def test_celery_does_what_reaches_outside(town: Town, queue: dict[str, str]) -> None:
    """The shop is killed as the others; each delivered order has its mail, which went out once.

    Celery's worker is killed, too, and away for a while: its tasks wait for it.
    """
    if queue["CELERY_BROKER_URL"].startswith("unix:"):
        pytest.skip("Celery needs a Redis at 127.0.0.1:6379")
    town.more = queue
    worker = await town.run(CELERY, WORKER)
    await serve_and_kill(town, CELERY)
    worker.kill()
    await worker.wait()
    await town.start(CELERY)
    await town.sandbox.pay(await town.buy())
    await until(lambda: set(town.parcels(CELERY)) >= town.paid)
    await town.run(CELERY, WORKER)
    await until(lambda: len(town.rows("SELECT key FROM mails")) == len(town.paid))
    assert set(town.rows("SELECT order_id FROM mails")) == town.paid


async def serve_and_kill(town: Town, example: Example) -> None:
    """Have customers come while the example dies twice, and look at what was delivered."""
    await town.start(example)
    collection_id = await town.buy()
    assert "paid" not in await town.come_back(collection_id)
    await town.sandbox.pay(collection_id)
    await until(lambda: town.parcels(example).total() == 1)
    back = await town.come_back(collection_id)
    assert "Thank you" in back or back == "Your payment: paid"

    for moment in (0.0, random.uniform(0.05, 0.4)):
        before = len(town.paid)
        customers = [asyncio.create_task(town.custom()) for _ in range(3)]
        await until(lambda before=before: len(town.paid) > before + 2)  # type: ignore[misc]  # of a loop's variable
        await asyncio.sleep(moment)
        slow = await town.buy()
        await town.kill()
        for customer in customers:
            customer.cancel()
        await asyncio.gather(*customers, return_exceptions=True)
        await town.sandbox.pay(slow)  # nobody is there to be told
        assert set(town.parcels(example)) < town.paid
        await town.start(example)

    await until(lambda: set(town.parcels(example)) >= town.paid)
    await town.kill()
    assert town.parcels(example) == dict.fromkeys(town.paid, 1)


def test_the_examples_are_short() -> None:
    """A newcomer reads each in a few minutes."""
    files = [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("django_shop/**/*.py")]
    assert len(files) > 8
    long = {file.name for file in files if len(file.read_text("utf-8").splitlines()) > 120}
    assert long == set()


SCRIPT = Example(name="script", commands=())


async def test_a_script_for_cron(town: Town) -> None:
    """No webhook comes; `work` is killed while it delivers, and finds the rest the next time."""
    script = str(Path("examples") / "script.py")
    orders = [f"INV-{number}" for number in range(12)]
    assert await (await town.run(SCRIPT, [script, "sell", *orders])).wait() == 0
    for record in town.sandbox.collections:
        if record.order.order_id != "INV-11":  # who never pays
            await town.sandbox.pay(record.collection_id)
    await town.sandbox.clock.sleep(200)  # the sweep looks at orders that are not quite new

    for moment in (1, random.randrange(2, 11)):  # parcels that are out
        while town.parcels(SCRIPT).total() < moment:
            working = await town.run(SCRIPT, [script, "work"])
            await until(
                lambda working=working, moment=moment: (  # type: ignore[misc]  # of a loop's variables
                    working.returncode is not None or town.parcels(SCRIPT).total() >= moment
                )
            )
            if working.returncode is None:
                working.kill()
            await working.wait()
    while set(town.parcels(SCRIPT)) < town.paid:
        assert await (await town.run(SCRIPT, [script, "work"])).wait() == 0
    assert town.parcels(SCRIPT) == dict.fromkeys(town.paid, 1)
    assert len(town.paid) == 11

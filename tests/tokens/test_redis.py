"""The token store in Redis: shared by processes and machines, and never a hindrance."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

import paycollect
from paycollect import PayCollectError, RedisTokenStore, sync
from paycollect.models import Token
from paycollect.tokens import LockingTokenStore
from tests.provider.fixtures import MakeManager
from tests.provider.messages import APP_ID, SECRET_KEY
from tests.provider.server import Provider

RUNNING = "redis://127.0.0.1:6379/0"
DOWN = "redis://:a-password@127.0.0.1:1/0"


def answers(url: str) -> bool:
    """Tell whether a Redis is there."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of the Redis that runs here, else of a private one, else skip."""
    if answers(RUNNING):
        yield RUNNING
        return
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        pytest.skip("no Redis at 127.0.0.1:6379, and no redis-server to start one")
    folder: Path = tmp_path_factory.mktemp("redis")
    socket = folder / "redis.sock"
    command = [binary, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    with subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None and not answers(f"unix://{socket}"):
                pass
            yield f"unix://{socket}"
        finally:
            process.terminate()


@pytest.fixture
def key(server: str) -> Iterator[str]:
    """Give a key of one's own, which is gone with the test."""
    key = f"paycollect-test:{uuid.uuid4()}"
    yield key
    with redis.Redis.from_url(server) as client:
        client.delete(key, f"{key}:lock")


@pytest.fixture
def store(server: str, key: str) -> RedisTokenStore:
    """Give a store."""
    return RedisTokenStore(server, key=key)


@pytest.fixture
async def client(server: str) -> AsyncIterator[Any]:
    """Give a client, to look into Redis."""
    async with redis.asyncio.Redis.from_url(server) as client:
        yield client


def a_token(**changes: Any) -> Token:
    """Make a token that lives for an hour."""
    known: dict[str, Any] = {
        "access_token": "tok-redis",
        "expires_at": datetime.now(UTC) + timedelta(hours=1),
        "scopes": frozenset({"a", "b"}),
        "app_id": APP_ID,
        "base_url": "https://x",
    }
    return Token(**{**known, **changes})


async def test_what_is_saved_is_loaded(store: RedisTokenStore) -> None:
    """A token comes back as it was, until it is cleared."""
    assert await store.load() is None
    token = a_token()
    await store.save(token)
    assert await store.load() == token
    await store.clear()
    assert await store.load() is None


async def test_the_entry_ends_with_the_token(store: RedisTokenStore, key: str, client: Any) -> None:
    """It is there for as long as the token lives; one that is over is not written at all."""
    await store.save(a_token())
    assert 3_590_000 < await client.pttl(key) <= 3_600_000
    await store.clear()
    await store.save(a_token(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    assert await store.load() is None


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "no JSON", '{"access_token": "x"}', "[" * 9999]
)
async def test_an_entry_of_no_use(
    store: RedisTokenStore, key: str, client: Any, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever else stands there is no token, and a warning that shows none of it."""
    await client.set(key, content or "x")
    assert await store.load() is None
    assert "the token in Redis is of no use" in caplog.text


async def test_managers_share_a_token(
    make: MakeManager, provider: Provider, server: str, key: str, client: Any
) -> None:
    """One request serves all; in Redis stands the token, and never the secret key."""
    for _ in range(3):
        store = RedisTokenStore(server, key=key)
        await make(clock=None, token_store=store).list_collections()
    assert provider.token_requests == 1
    text = (await client.get(key)).decode()
    assert f"tok-{provider.port}-0001" in text
    assert SECRET_KEY not in text
    assert await client.exists(f"{key}:lock") == 0


@pytest.mark.parametrize("changes", [{"app_id": "B" * 16}, {"base_url": "https://other.example"}])
async def test_the_token_of_another(
    make: MakeManager, provider: Provider, store: RedisTokenStore, changes: dict[str, Any]
) -> None:
    """A token that was stored for another app or API is not used."""
    await store.save(a_token(**{"base_url": provider.base_url, **changes}))
    await make(clock=None, token_store=store).list_collections()
    assert provider.token_requests == 1


STORM = """
import asyncio, os, sys
from paycollect import RedisTokenStore, SessionManager

server, key, app_id, secret_key, base_url = sys.argv[1:]
ready, go = os.pipe(), os.pipe()

async def main():
    store = RedisTokenStore(server, key=key)
    async with SessionManager(
        app_id=app_id, secret_key=secret_key, base_url=base_url, token_store=store
    ) as pay:
        await asyncio.gather(*(pay.list_collections() for _ in range(50)))

children = []
for _ in range(8):
    if not (child := os.fork()):
        os.close(go[1])
        os.write(ready[1], b".")
        os.read(go[0], 1)
        code = 1
        try:
            asyncio.run(main())
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    children.append(child)
seen = 0
while seen < 8:
    seen += len(os.read(ready[0], 8))
os.close(go[1])
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


async def test_many_processes_at_once(provider: Provider, server: str, key: str) -> None:
    """Eight processes with fifty calls each, started at the same instant: one token request."""
    arguments = [server, key, APP_ID, SECRET_KEY, provider.base_url]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", STORM, *arguments), stderr=subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert (process.returncode, stderr.decode()) == (0, "")
    assert provider.count("GET /collections") == 400
    assert provider.token_requests == 1


async def test_redis_is_down(
    make: MakeManager, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs a token request, never a call; the log says so, without the URL's password."""
    pay = make(clock=None, token_store=RedisTokenStore(DOWN))
    await pay.list_collections()
    await pay.list_collections()
    await pay.revoke_token()
    assert provider.token_requests == 1
    assert "token store RedisTokenStore failed: ConnectionError" in caplog.text
    assert "a-password" not in caplog.text


async def test_redis_hangs_up(make: MakeManager, provider: Provider) -> None:
    """Nor does one that goes away in the midst of an answer; it is not asked a second time."""
    calls = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.write(b"$5\r\nab")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        store = RedisTokenStore(f"redis://127.0.0.1:{port}/0")
        with pytest.raises(redis.RedisError):
            await store.load()
        assert calls == 1
        await make(clock=None, token_store=store).list_collections()
    assert provider.token_requests == 1


async def test_a_lock_that_is_not_to_be_had(  # noqa: PLR0917  fixtures, which come by name
    make: MakeManager,
    provider: Provider,
    store: RedisTokenStore,
    key: str,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After some patience the token is asked for without; the lock of a dead process ends."""
    monkeypatch.setattr("paycollect.tokens.redis._LOCK_PATIENCE", 0.01)
    async with store.lock():
        assert 0 < await client.pttl(f"{key}:lock") <= 15_000
        await make(clock=None, token_store=store).list_collections()
    assert provider.token_requests == 1
    assert "token store RedisTokenStore failed: LockError" in caplog.text


async def test_a_lock_that_was_lost(
    make: MakeManager, provider: Provider, store: RedisTokenStore, key: str, client: Any
) -> None:
    """Whoever took too long has the token all the same, and takes nobody else's lock away."""

    async def take_over(exchange: Any) -> None:
        await client.set(f"{key}:lock", "another's")
        await exchange.send(exchange.commit())

    provider.script("POST /auth/token", take_over)
    await make(clock=None, token_store=store).list_collections()
    assert await client.get(f"{key}:lock") == b"another's"


@pytest.mark.parametrize("decode", [False, True])
async def test_a_client_that_is_lent(server: str, key: str, decode: bool) -> None:
    """It is used as it is, and stays open."""
    async with redis.asyncio.Redis.from_url(server, decode_responses=decode) as client:
        store = RedisTokenStore(client, key=key)
        token = a_token()
        async with store.lock():
            await store.save(token)
        assert await store.load() == token
        assert await client.ping()


def test_without_an_event_loop(server: str, key: str) -> None:
    """A store with a URL serves one event loop after another, that of blocking managers, too."""
    store = RedisTokenStore(server, key=key)
    sync.run(store.save, a_token())
    assert sync.run(store.load) is not None
    assert asyncio.run(store.load()) is not None  # another loop


def test_what_it_shows() -> None:
    """Neither a password nor a token; it is a store that locks."""
    store = RedisTokenStore(DOWN, key="shop")
    assert repr(store) == "RedisTokenStore(key='shop')"
    assert repr(RedisTokenStore(DOWN)) == "RedisTokenStore(key='paycollect:token')"
    assert isinstance(store, LockingTokenStore)


def test_its_patience() -> None:
    """A host that does not answer is given up in seconds, as a customer waits."""
    options = RedisTokenStore(DOWN)._make_client(DOWN).connection_pool.connection_kwargs
    assert (options["socket_connect_timeout"], options["socket_timeout"]) == (2, 5)


def test_wrong_arguments() -> None:
    """Mistakes are told when the service starts."""
    blocking: Any = redis.Redis()
    with pytest.raises(TypeError, match=r"a client of redis\.asyncio is needed, not redis\.client"):
        RedisTokenStore(blocking)
    with pytest.raises(ValueError, match="URL must specify"):
        RedisTokenStore("127.0.0.1:6379")


def test_without_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is there without it; whoever makes a store is told what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.delitem(vars(paycollect), "RedisTokenStore", raising=False)
    assert paycollect.RedisTokenStore is RedisTokenStore
    with pytest.raises(ImportError, match="needs redis-py"):
        RedisTokenStore(RUNNING)


def test_the_front_door_does_not_load_it() -> None:
    """The name is there, and redis-py is loaded with the first store."""
    code = "import sys, paycollect\npaycollect.RedisTokenStore\nprint('redis' in sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


async def test_a_token_request_that_fails(
    make: MakeManager, provider: Provider, store: RedisTokenStore, key: str, client: Any
) -> None:
    """The lock is free at once for the next."""

    async def fail(exchange: Any) -> None:
        exchange.drop()

    provider.always("POST /auth/token", fail)
    with pytest.raises(PayCollectError):
        await make(
            token_store=store, retry=paycollect.RetryPolicy(max_retries=0)
        ).list_collections()
    assert await client.exists(f"{key}:lock") == 0

"""The token store in a file: private, atomic, shared by processes, and never a hindrance."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import stat
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any

import pytest

from paycollect import FileTokenStore
from paycollect.models import Token
from tests.session.clocks import WALL, FakeClock
from tests.session.conftest import MakeManager
from tests.session.messages import APP_ID, SECRET_KEY
from tests.session.provider import Provider

GOOD = {
    "access_token": "tok-file",
    "expires_at": "2040-01-01T00:00:00+00:00",
    "scopes": ["a"],
    "app_id": APP_ID,
    "base_url": "https://x",
}
A_TOKEN = Token(
    access_token="tok-file",
    expires_at=datetime(2040, 1, 1, tzinfo=UTC),
    scopes=frozenset({"a", "b"}),
    app_id=APP_ID,
    base_url="https://x",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a place for the file."""
    return tmp_path / "token.json"


def test_what_is_saved_is_loaded(path: Path) -> None:
    """A token comes back from the file as it was."""
    FileTokenStore(path).save(A_TOKEN)
    assert FileTokenStore(str(path)).load() == A_TOKEN


def test_an_end_in_another_zone_comes_back_in_utc(path: Path) -> None:
    """The end of a token is given in UTC, in whatever zone it was saved."""
    zone = timezone(timedelta(hours=5))
    path.write_text(
        json.dumps({**GOOD, "expires_at": datetime(2040, 1, 1, 5, tzinfo=zone).isoformat()})
    )
    token = FileTokenStore(path).load()
    assert token is not None
    assert (token.expires_at, token.expires_at.tzinfo) == (A_TOKEN.expires_at, UTC)


def test_no_file_is_no_token(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where there is no file there is no token, and no warning."""
    assert FileTokenStore(path).load() is None
    assert caplog.text == ""


def test_only_the_owner_can_read_it(path: Path) -> None:
    """The file has mode 0600, whatever the umask, and also when it replaces a public one."""
    path.write_text("{}")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        FileTokenStore(path).save(A_TOKEN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_replaced_in_one_step(path: Path) -> None:
    """Who has the old file open goes on reading the old token; nothing else is left over."""
    store = FileTokenStore(path)
    store.save(A_TOKEN)
    with path.open() as old:
        store.save(Token(access_token="tok-new", expires_at=A_TOKEN.expires_at))
        assert json.load(old)["access_token"] == "tok-file"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_save_leaves_everything_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file cannot be replaced, the old token stays, and no half file either."""
    store = FileTokenStore(path)
    store.save(A_TOKEN)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        store.save(Token(access_token="tok-new", expires_at=A_TOKEN.expires_at))
    assert list(path.parent.iterdir()) == [path]
    assert store.load() == A_TOKEN


def test_clearing_removes_it(path: Path) -> None:
    """A cleared store is empty, and may be cleared again."""
    store = FileTokenStore(path)
    store.save(A_TOKEN)
    store.clear()
    store.clear()
    assert store.load() is None
    assert not path.exists()


BAD: dict[str, bytes] = {
    "empty": b"",
    "garbage": b"\x00\xff\xfe",
    "not JSON": b"{",
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "deep": b"[" * 100_000,
    "half": json.dumps(GOOD).encode()[:-20],
    **{
        f"no {name}": json.dumps({k: v for k, v in GOOD.items() if k != name}).encode()
        for name in GOOD
    },
    "bad date": json.dumps({**GOOD, "expires_at": "tomorrow"}).encode(),
    "number as date": json.dumps({**GOOD, "expires_at": 5}).encode(),
    "far date": json.dumps({**GOOD, "expires_at": "0001-01-01T00:00:00+23:59"}).encode(),
    "number as scopes": json.dumps({**GOOD, "scopes": 5}).encode(),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_bad_file_is_ignored_with_a_warning(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A file of no use is no token, and a warning that shows nothing of its content."""
    path.write_bytes(content)
    assert FileTokenStore(path).load() is None
    assert "is of no use" in caplog.text
    assert "tok-file" not in caplog.text


def test_an_unreadable_file_is_ignored_with_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be read is no token."""
    path.mkdir()
    assert FileTokenStore(path).load() is None
    assert "is of no use (IsADirectoryError)" in caplog.text


def make_bad(path: Path) -> None:
    """Put half a document into the file."""
    path.write_text("{")


async def test_a_bad_file_is_replaced(make: MakeManager, provider: Provider, path: Path) -> None:
    """A bad file costs one token request, and is good afterwards."""
    make_bad(path)
    for _ in range(2):
        await make(token_store=FileTokenStore(path)).list_collections()
    assert provider.token_requests == 1


@pytest.mark.parametrize("where", ["missing folder", "folder as file"])
async def test_a_place_that_cannot_be_written_harms_no_call(
    make: MakeManager, provider: Provider, tmp_path: Path, where: str
) -> None:
    """Where the file cannot be written, each manager asks for a token, and calls succeed."""
    path = tmp_path if where == "folder as file" else tmp_path / "nowhere" / "token.json"
    await make(token_store=FileTokenStore(path)).list_collections()
    assert provider.token_requests == 1


async def test_a_restart_reuses_the_token(
    make: MakeManager, provider: Provider, path: Path
) -> None:
    """A manager that is made anew finds the token of the one before."""
    async with make(token_store=FileTokenStore(path)) as first:
        await first.list_collections()
    async with make(token_store=FileTokenStore(path)) as second:
        await second.list_collections()
    assert provider.token_requests == 1


async def test_a_restart_after_a_day_asks_anew(
    make: MakeManager, provider: Provider, path: Path, clock: FakeClock
) -> None:
    """A stored token is over when the wall clock says so."""
    await make(token_store=FileTokenStore(path)).list_collections()
    clock.wall += 86401
    await make(token_store=FileTokenStore(path)).list_collections()
    assert provider.token_requests == 2


async def test_another_apps_token_is_never_used(
    make: MakeManager, provider: Provider, path: Path
) -> None:
    """Two apps that share a file by mistake never collect for each other."""
    end = datetime.fromtimestamp(WALL + 9999, UTC)
    other = Token(access_token="tok-x", expires_at=end, app_id="B" * 16, base_url=provider.base_url)
    FileTokenStore(path).save(other)
    await make(token_store=FileTokenStore(path)).list_collections()
    assert "tok-x" not in [request.bearer for request in provider.requests]


async def test_revoking_removes_the_file(make: MakeManager, provider: Provider, path: Path) -> None:
    """A revoked token is not left in the file."""
    pay = make(token_store=FileTokenStore(path))
    await pay.list_collections()
    await pay.revoke_token()
    assert FileTokenStore(path).load() is None


PROCESS = """
import asyncio, sys
from paycollect import FileTokenStore, SessionManager

async def main(app_id, secret_key, base_url, path):
    async with SessionManager(app_id=app_id, secret_key=secret_key, base_url=base_url,
                              token_store=FileTokenStore(path)) as pay:
        print("ready", flush=True)
        sys.stdin.readline()
        await pay.list_collections()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_make_one_token_request(provider: Provider, path: Path) -> None:
    """Processes that need a token at the same moment ask for one together."""

    async def slow(exchange: Any) -> None:
        await asyncio.sleep(0.04)
        await exchange.send(exchange.commit())

    provider.always("POST /auth/token", slow)
    pipe = asyncio.subprocess.PIPE
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", PROCESS),
            *(APP_ID, SECRET_KEY, provider.base_url, str(path)),
            stdin=pipe,
            stdout=pipe,
        )
        for _ in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        await process.stdout.readline()
    ends = await asyncio.gather(*(process.communicate(b"\n") for process in started))
    assert [process.returncode for process in started] == [0, 0], ends
    assert (provider.token_requests, provider.count("GET /collections")) == (1, 2)


def locked(path: Path) -> IO[str]:
    """Hold the lock, as another process would, until the file is closed."""
    other = Path(f"{path}.lock").open("w")  # noqa: SIM115  the caller closes it
    fcntl.flock(other, fcntl.LOCK_EX)
    return other


def open_files() -> int:
    """Count this process's open files."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  a count is all that is needed


async def test_patience_with_a_lock_has_an_end(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A lock that nobody gives up is waited for a minute, then passed over."""
    with locked(path):
        async with FileTokenStore(path, clock=clock).lock():
            pass
    assert 59 < sum(clock.sleeps) < 61
    assert "locked for too long" in caplog.text


async def test_a_lock_is_waited_for(path: Path, clock: FakeClock) -> None:
    """Who comes second gets the lock when the first gives it up."""
    other = locked(path)

    async def give_up() -> None:
        other.close()

    clock.meanwhile = give_up
    async with FileTokenStore(path, clock=clock).lock():
        pass
    assert len(clock.sleeps) == 1


async def test_waiting_for_a_lock_can_be_cancelled(path: Path) -> None:
    """Who is cancelled while waiting for the lock leaves no open file behind."""
    with locked(path):
        before = open_files()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), FileTokenStore(path).lock():
                pass
        assert open_files() == before


async def test_a_place_that_cannot_be_locked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no lock file can be made, one goes on without, with a warning."""
    async with FileTokenStore(tmp_path / "nowhere" / "token.json").lock():
        pass
    assert "cannot be locked (FileNotFoundError)" in caplog.text


def test_its_repr_names_the_file(path: Path) -> None:
    """The repr of the store shows where the file is, and no token."""
    store = FileTokenStore(path)
    store.save(A_TOKEN)
    assert repr(store) == f"FileTokenStore({str(path)!r})"

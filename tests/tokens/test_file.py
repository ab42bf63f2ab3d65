"""The token store in a file: private, atomic, shared by processes, and never a hindrance."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import stat
import sys
import tempfile
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any

import pytest

from paycollect import FileTokenStore
from paycollect.models import Token
from paycollect.tokens import keeper
from paycollect.tokens.thread import in_thread
from tests.provider.clocks import WALL, FakeClock
from tests.provider.fixtures import MakeManager
from tests.provider.messages import APP_ID, SECRET_KEY
from tests.provider.server import Provider

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


async def test_only_the_owner_can_read_what_is_saved_under_the_lock(path: Path) -> None:
    """The same for the draft of one name, and for the lock's own file."""
    store, before = FileTokenStore(path), os.umask(0)
    try:
        async with store.lock():
            store.save(A_TOKEN)
    finally:
        os.umask(before)
    files = (path, Path(f"{path}.lock"))
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1])
def test_a_large_file_is_not_read_to_its_end(path: Path, size: int) -> None:
    """No more than 64 KiB are read."""
    path.write_bytes(json.dumps(GOOD).encode().rjust(size))
    assert (FileTokenStore(path).load() is not None) == (size == 64 * 1024)


def test_the_draft_is_made_beside_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder of temporary files it could be on another disk, from where nothing replaces."""
    monkeypatch.setattr(tempfile, "tempdir", str(path.parent / "missing"))
    FileTokenStore(path).save(A_TOKEN)
    assert FileTokenStore(path).load() == A_TOKEN


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
    assert "is of no use (no regular file)" in caplog.text


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


async def test_patience_with_a_lock_has_an_end(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A lock that nobody gives up is waited for a minute, then passed over."""
    with locked(path):
        async with FileTokenStore(path, clock=clock).lock():
            pass
    assert sum(clock.sleeps) == pytest.approx(60, abs=0.1)
    assert handles(path) == 0
    assert "locked for too long" in caplog.text


async def test_a_lock_is_waited_for(path: Path, clock: FakeClock) -> None:
    """Who comes second gets the lock when the first gives it up."""
    other = locked(path)

    async def give_up() -> None:
        other.close()

    clock.meanwhile = give_up
    async with FileTokenStore(path, clock=clock).lock():
        pass
    assert clock.sleeps == [0.02]


def handles(path: Path) -> int:
    """Count this process's handles of the lock's file."""
    wanted, found = Path(f"{path}.lock").stat(), 0
    for number in map(int, os.listdir("/dev/fd")):  # noqa: PTH208  numbers are needed
        with suppress(OSError):  # that of the listing itself is closed by now
            found += os.path.samestat(os.fstat(number), wanted)
    return found


async def test_waiting_for_a_lock_can_be_cancelled(path: Path) -> None:
    """Who is cancelled while waiting for the lock leaves no open file behind."""
    open_meanwhile = []

    class Impatient(FakeClock):
        async def sleep(self, seconds: float) -> None:
            open_meanwhile.append(handles(path))
            raise asyncio.CancelledError

    with locked(path):
        with pytest.raises(asyncio.CancelledError):
            async with FileTokenStore(path, clock=Impatient()).lock():
                pass
        assert (open_meanwhile, handles(path)) == ([2], 1)


async def test_opening_the_lock_can_be_cancelled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is opened when nobody waits for it any more is closed."""
    go, closed = threading.Event(), asyncio.Event()
    open_file, close_file = os.open, os.close
    opened: list[int] = []

    def slow(*args: Any) -> int:
        go.wait(30)
        opened.append(open_file(*args))
        return opened[0]

    def close(handle: int) -> None:
        close_file(handle)
        if [handle] == opened:
            closed.set()

    monkeypatch.setattr(os, "open", slow)
    monkeypatch.setattr(os, "close", close)
    task = asyncio.create_task(FileTokenStore(path).lock().__aenter__())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    go.set()
    await asyncio.wait_for(closed.wait(), 30)
    assert handles(path) == 0


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


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_to(
    path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    """A token that somebody else may have put there is not used."""
    store = FileTokenStore(path)
    store.save(A_TOKEN)
    path.chmod(mode)
    assert store.load() is None
    assert "others may write to it" in caplog.text
    store.save(A_TOKEN)
    assert store.load() == A_TOKEN


def test_a_file_of_another_owner(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token of another user is not used."""
    store = FileTokenStore(path)
    store.save(A_TOKEN)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert store.load() is None
    assert "of another owner" in caplog.text


def test_a_symbolic_link_is_not_followed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A link to a good file is no token file; saving replaces the link, and not what it names."""
    target = path.with_name("elsewhere.json")
    FileTokenStore(target).save(A_TOKEN)
    path.symlink_to(target)
    assert FileTokenStore(path).load() is None
    assert "is of no use" in caplog.text
    FileTokenStore(path).save(Token(access_token="tok-new", expires_at=A_TOKEN.expires_at))
    assert not path.is_symlink()
    assert FileTokenStore(target).load() == A_TOKEN


def test_a_fifo_does_not_hang(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is no regular file is ignored at once."""
    os.mkfifo(path, 0o600)
    assert FileTokenStore(path).load() is None
    assert "no regular file" in caplog.text


async def test_a_kill_leaves_one_draft_at_most(path: Path) -> None:
    """Under the lock the draft has one name: what a kill has left is written over."""
    draft = path.with_name(".token.json.draft")
    draft.write_text("half of a tok")
    store = FileTokenStore(path)
    async with store.lock():
        store.save(A_TOKEN)
    assert store.load() == A_TOKEN
    assert {p.name for p in path.parent.iterdir()} == {"token.json", "token.json.lock"}


async def test_a_file_system_that_hangs(
    make: MakeManager,
    provider: Provider,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A file that cannot be read for ever stops neither the loop nor, after a while, the call."""
    stuck = threading.Event()

    class Stuck(FileTokenStore):
        def load(self) -> Token | None:
            stuck.wait(30)
            return None

    monkeypatch.setattr(keeper.TokenKeeper._ask_store, "__defaults__", (0.05,))
    call = asyncio.create_task(make(token_store=Stuck(path)).list_collections())
    await asyncio.sleep(0)  # the loop goes on
    await asyncio.wait_for(call, 5)
    stuck.set()
    assert "token store Stuck failed: TimeoutError" in caplog.text


async def test_a_thread_that_ends_after_its_loop() -> None:
    """What a thread finds when nobody waits any more, or the loop is gone, is dropped."""
    go = threading.Event()

    async def give_up() -> None:
        async with asyncio.timeout(0.01):
            await in_thread(go.wait)

    with pytest.raises(TimeoutError):
        await give_up()
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(asyncio.run, give_up())
    go.set()
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)
    assert await in_thread(lambda: 5) == 5


async def test_a_thread_that_hangs_keeps_nothing_from_ending() -> None:
    """Python waits at its end for every thread but these."""
    assert await in_thread(lambda: threading.current_thread().daemon)


async def test_work_that_fails_when_nobody_waits_any_more() -> None:
    """There is nothing to undo, and nobody to tell."""
    begun, goes_on = threading.Event(), threading.Event()
    undone: list[object] = []

    def work() -> None:
        begun.set()
        goes_on.wait(5)
        raise OSError

    waiting = asyncio.create_task(in_thread(work, undone.append))
    await asyncio.to_thread(begun.wait, 5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    goes_on.set()
    for thread in threading.enumerate():
        if thread.name == "paycollect-token-store":
            await asyncio.to_thread(thread.join, 5)
    await asyncio.sleep(0)
    assert undone == []

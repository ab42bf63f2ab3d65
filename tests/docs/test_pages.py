"""Every block of code on the site does what the page says."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

import pytest

from paycollect import SessionManager
from paycollect.sandbox import Sandbox
from tests.cashier.postgres import find_server, fresh_schema
from tests.docs.pages import DOCS, LANGUAGES, PAGES, Block, blocks
from tests.tokens.test_redis import RUNNING, answers

yaml = pytest.importorskip("yaml", reason="the extra `docs` brings it")

SECONDS: Final = 50
# Done, or "the answer is no", which is what somebody who looks for a cause is told.
FINE: Final = {0, 1}


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    """The provider on the desk, and the environment that names it."""
    async with Sandbox() as sandbox:
        monkeypatch.setenv("PAYCOLLECT_APP_ID", sandbox.app_id)
        monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", sandbox.secret_key)
        monkeypatch.setenv("PAYCOLLECT_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("PAYCOLLECT_WEBHOOK_SECRET", sandbox.webhook_secret)
        yield sandbox


def name_of(page: Path) -> str:
    """Give a page's name for a report."""
    return str(page.relative_to(DOCS))


@pytest.fixture
def database(page: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A PostgreSQL, for a page that wants one; DATABASE_URL names it."""
    if "DATABASE_URL" not in page.read_text("utf-8"):
        yield
        return
    url = find_server()
    if isinstance(url, str):
        pytest.skip(url)
    with fresh_schema(url) as found:
        psycopg = found.url.set(
            drivername="postgresql+psycopg", query={"options": f"-csearch_path={found.schema}"}
        )
        monkeypatch.setenv("DATABASE_URL", psycopg.render_as_string(hide_password=False))
        yield


@pytest.fixture
def redis(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis, for a page that wants one; REDIS_URL names it."""
    if "REDIS_URL" not in page.read_text("utf-8"):
        return
    if not answers(RUNNING):
        pytest.skip(f"no Redis at {RUNNING}")
    # A database of this process's own: others run the same page at the same time.
    monkeypatch.setenv("REDIS_URL", f"{RUNNING[:-1]}{1 + os.getpid() % 15}")


@pytest.mark.greenlets
@pytest.mark.usefixtures("database", "redis")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
async def test_the_blocks_of_a_page_run(
    page: Path, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the top to the end, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    found = blocks(page)
    (tmp_path / "conftest.py").write_text(CONFTEST, "utf-8")
    async with SessionManager.from_env() as pay:
        names: dict[str, Any] = {"__name__": "page", "pay": pay, "sandbox": sandbox}
        printed = ""
        for block in found:
            if block.file:
                (tmp_path / block.file).write_text(block.code, "utf-8")
            elif block.language == "python" and not block.is_tests:
                printed = await run_python(page, block, names)
            elif block.language == "console":
                printed = await run_commands(block, tmp_path)
            elif block.language == "text" and block.follows:
                missing = [line for line in lines_of(block.code) if line not in printed]
                assert not missing, f"{name_of(page)}:{block.line}: printed was\n{printed}"
            else:
                read(block)
    tests = "\n".join(block.code for block in found if block.is_tests)
    if tests:
        await run_tests(tests, tmp_path)


def test_code_is_found() -> None:
    """So that the test above tests something."""
    assert sum(len(blocks(page)) for page in PAGES) > 20


def lines_of(text: str) -> list[str]:
    """Give the lines that must be printed; `...` stands for any."""
    return [line.strip() for line in text.splitlines() if line.strip() not in ("", "...")]


async def run_python(page: Path, block: Block, names: dict[str, Any]) -> str:
    """Run a block; a traceback shows the lines of the page."""
    source = "\n" * (block.line - 1) + block.code
    code = compile(source, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    output = io.StringIO()
    with redirect_stdout(output):
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, names)  # our own document
        else:  # as in a script: where no event loop runs
            await asyncio.to_thread(exec, code, names)
    return output.getvalue()


async def run_commands(block: Block, folder: Path) -> str:
    """Run each command with the programs of this environment."""
    printed = ""
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    for line in block.code.splitlines():
        if not line.startswith("$ "):
            told = line.strip().removesuffix("...")  # what may differ from run to run
            assert told in printed, f"{line}\nis not in\n{printed}"
            continue
        command = line.removeprefix("$ ").split("  #", maxsplit=1)[0]
        process = await asyncio.create_subprocess_shell(
            command,
            cwd=folder,
            env={**os.environ, **PLUGINS, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        printed = output.decode()
        assert process.returncode in FINE, f"{command}\n{printed}"
    return printed


async def run_tests(source: str, folder: Path) -> None:
    """Run a page's tests as a reader's project would, with the plugin that comes with us."""
    (folder / "test_page.py").write_text(source, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n", "utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"),
        cwd=folder,
        env={**os.environ, **PLUGINS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0, output.decode()


# Loading all the plugins that this environment happens to have takes longer than the tests.
PLUGINS: Final = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "pytest_asyncio.plugin,paycollect.pytest_plugin",
}
# Some pages leave the reader's own web framework open: its test client is called `client`.
CONFTEST: Final = """
import pytest
from paycollect import ipn


class Answered:
    def __init__(self, status_code):
        self.status_code = status_code


class Client:
    def __init__(self, receiver):
        self.receiver = receiver

    def post(self, path, data):
        try:
            self.receiver.parse(data)
        except ipn.IpnError as error:
            return Answered(error.status_hint)
        return Answered(200)


@pytest.fixture
def client(signed_webhook):
    return Client(ipn.Receiver(secrets=signed_webhook.secret))


@pytest.fixture
def paycollect_crash_test(paycollect_crash_test):
    # Fewer than a reader's: a shop like the pages' has more of them in tests/cashier/crash.

    def crash_test(make_shop, *, schedules, processes):
        paycollect_crash_test(
            make_shop, schedules=min(schedules, 30), processes=min(processes, 1)
        )

    return crash_test
"""


def read(block: Block) -> None:
    """See whether a block is what it says it is."""
    assert block.language in LANGUAGES, f"line {block.line}: in which language?"
    if block.language == "json":
        json.loads(block.code)
    elif block.language == "toml":
        tomllib.loads(block.code)
    elif block.language == "yaml":
        yaml.safe_load(block.code)
    elif block.language == "sh":
        subprocess.run(["sh", "-n"], input=block.code.encode(), check=True)
        for line in block.code.replace("\\\n", " ").splitlines():
            shlex.split(line, comments=True)

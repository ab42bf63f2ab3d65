"""The command line as a whole: with and without its extra, streams, signals, exit codes."""

from __future__ import annotations

import io
import logging
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import attrs
import pytest

import paycollect
from paycollect import __main__, errors
from paycollect.cli import local, run, settings
from paycollect.cli.as_json import to_json
from paycollect.cli.exits import Exit, UsageError, trouble
from paycollect.demo.screen import Screen
from paycollect.sandbox import Sandbox
from tests.cli.conftest import Provider, Terminal
from tests.cli.test_payments import Keyboard

COMMAND = (sys.executable, "-X", "dev", "-W", "error", "-m", "paycollect")


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typer and rich are not installed."""
    for name in [*sys.modules]:
        if name.split(".")[0] in {"typer", "rich"} or name == "paycollect.cli.app":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.setitem(sys.modules, "rich", None)


def test_help_names_every_command_and_exit_code(terminal: Terminal) -> None:
    """One look shows what there is."""
    assert terminal("--help") == 0
    for word in ("demo", "sandbox", "checkout", "refund", "wait", "webhook", "callback", "doctor"):
        assert word in terminal.out
    assert "130 Ctrl-C" in terminal.out


def test_version(terminal: Terminal) -> None:
    """The version of the package."""
    assert terminal("--version") == 0
    assert terminal.out.strip() == f"paycollect {paycollect.__version__}"


def test_the_package_can_be_run(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m paycollect` ends with the exit code."""
    monkeypatch.setattr(sys, "argv", ["paycollect", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(__main__.__file__), run_name="__main__")
    assert end.value.code == 0
    assert paycollect.__version__ in capsys.readouterr().out


def test_wrong_usage_is_2(terminal: Terminal) -> None:
    """An unknown command, or none, is wrong usage."""
    assert terminal("chekout") == 2
    assert terminal() == 2


def test_arguments_come_from_the_process(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The entry point takes no arguments."""
    monkeypatch.setattr(sys, "argv", ["paycollect", "--version"])
    assert __main__.main() == 0
    assert paycollect.__version__ in capsys.readouterr().out


@pytest.mark.usefixtures("without_extra")
def test_the_demo_needs_no_extra(terminal: Terminal) -> None:
    """It runs with neither typer nor rich."""
    assert terminal("demo") == 0
    assert "What was proven" in terminal.out


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize("command", ["checkout", "doctor"])
def test_without_the_extra_the_others_say_how_to_get_it(command: str, terminal: Terminal) -> None:
    """The message is a command to be copied."""
    with pytest.raises(SystemExit) as end:
        terminal(command, "--json")
    assert end.value.code == 2


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_and_a_command_there_is_help(terminal: Terminal) -> None:
    """It says how to install the extra."""
    assert terminal() == 2
    assert "python -m pip install 'paycollect[cli]'" in terminal.out


def test_a_broken_installation_is_not_taken_for_a_missing_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the absence of typer or rich means that the extra is missing."""
    monkeypatch.setitem(sys.modules, "paycollect.cli.app", None)
    with pytest.raises(ModuleNotFoundError, match=r"paycollect\.cli\.app"):
        __main__.main(["demo"])


def _send_after_start(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    original = local._introduce

    def introduce(screen: Screen, server: Sandbox) -> None:
        original(screen, server)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(local, "_introduce", introduce)


def test_ctrl_c_leaves_the_sandbox_cleanly(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is that of an interrupted program, and nothing else is said."""
    _send_after_start(monkeypatch, signal.SIGINT)
    assert terminal("sandbox", "--port", "0", "--shapes", "concept") == 130
    assert "export PAYCOLLECT_BASE_URL=http://127.0.0.1:" in terminal.out
    assert terminal.err == "Stopped.\n"


@pytest.mark.usefixtures("without_extra")
def test_sigterm_ends_the_sandbox(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process manager that stops it gets exit code 0; no extra is needed."""
    _send_after_start(monkeypatch, signal.SIGTERM)
    assert terminal("sandbox", "--port", "0") == 0
    assert terminal.err == ""


def test_a_taken_port_is_named(provider: Provider, terminal: Terminal) -> None:
    """The advice is to choose another."""
    port = provider.sandbox.url.rpartition(":")[2]
    assert terminal("sandbox", "--port", port) == 2
    assert f"port {port}" in terminal.err


def test_a_missing_setting_is_named(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can be asked, the environment is."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert terminal("checkout", "list") == 2
    assert "PAYCOLLECT_APP_ID" in terminal.err


def test_a_person_is_asked_for_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed is not shown."""
    monkeypatch.delenv("PAYCOLLECT_SECRET_KEY", raising=False)
    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"typed at {prompt}")
    assert settings.setting(settings.SECRET_KEY).startswith("typed at Secret key")


def test_a_pipe_may_close(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`paycollect checkout list | head -1` ends without a word."""
    with (tmp_path / "out").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run.guarded(_raiser(BrokenPipeError())) == 141


def test_a_bug_is_told_by_its_place_only(capsys: pytest.CaptureFixture[str]) -> None:
    """What an unexpected error says may be anything, so that it is not shown."""
    assert run.guarded(_raiser(KeyError("secret"))) == 70
    told = capsys.readouterr().err
    assert "KeyError in tests.cli.test_command_line, line " in told
    assert "'secret'" not in told


def test_a_bug_can_be_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python's development mode it is raised."""
    monkeypatch.setattr(run, "sys", SimpleNamespace(flags=SimpleNamespace(dev_mode=True)))
    with pytest.raises(KeyError):
        run.guarded(_raiser(KeyError("secret")))


def test_the_sdk_does_not_log_between_the_lines(terminal: Terminal) -> None:
    """A warning in the log says nothing that the message does not."""
    run.guarded(lambda: Exit.OK)
    assert terminal("demo", "--fault", "lost-answer") == 0
    assert logging.getLogger("paycollect").handlers


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ValueError("amount: x"), 2),
        (errors.PaymentNotConfirmedError("x"), 1),
        (errors.SignatureError("x"), 1),
        (errors.CallbackError("x"), 1),
        (errors.AuthenticationError("x"), 3),
        (errors.PermissionDeniedError("x"), 3),
        (errors.InvalidRequestError("x"), 3),
        (errors.AlreadyRefundedError("x"), 3),
        (errors.InsufficientBalanceError("x"), 3),
        (errors.RateLimitError("x"), 3),
        (errors.ServerError("x"), 4),
        (errors.RequestTimeoutError("x"), 4),
        (errors.ConnectError("x"), 4),
        (errors.ResponseLostError("x"), 4),
        (errors.DecodeError("x"), 4),
        (errors.DeadlineExceededError("x"), 4),
        (RuntimeError("x"), 70),
    ],
)
def test_every_error_has_an_exit_code_and_advice(error: Exception, code: int) -> None:
    """What happened, whose fault it is, what to do next."""
    told = trouble(error)
    assert told.code == code
    assert told.what
    assert told.fault
    assert told.advice


def test_what_json_does_not_know_is_not_guessed() -> None:
    """A value of another kind is an error of ours."""
    with pytest.raises(TypeError, match="no JSON for set"):
        to_json(set())


def test_private_fields_are_not_shown() -> None:
    """The bytes that a signature covers are nobody's business."""

    @attrs.frozen
    class Value:
        public: int = 1
        _private: bytes = b""

    assert to_json(Value()) == {"public": 1}


def test_the_demo_as_a_process_leaves_nothing_open() -> None:
    """In development mode every unclosed thing would be a warning, and each is an error."""
    done = subprocess.run(
        [*COMMAND, "demo"], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_ctrl_c_while_libraries_load(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no traceback even before a command begins."""
    monkeypatch.setattr(__main__, "_choose", _raiser(KeyboardInterrupt()))
    assert terminal("demo") == 130
    assert terminal.err == "Stopped.\n"


def test_ctrl_c_as_a_process() -> None:
    """A real SIGINT ends a real process, with the documented exit code."""
    with subprocess.Popen(
        [*COMMAND, "sandbox", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == "Stopped.\n"


def test_a_real_pipe_may_close() -> None:
    """The reader goes away after a line."""
    script = f"'{sys.executable}' -X dev -W error -m paycollect demo | head -1"
    done = subprocess.run(
        ["sh", "-c", script], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""


def _raiser(error: BaseException) -> Callable[[], NoReturn]:
    def work() -> NoReturn:
        raise error

    return work

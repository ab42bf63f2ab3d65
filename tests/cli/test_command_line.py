"""The command line as a whole: with and without its extra, streams, signals, exit codes."""

from __future__ import annotations

import io
import json
import logging
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import NoReturn

import attrs
import pytest

import paycollect
from paycollect import __main__, errors
from paycollect.cli import run, sandbox, settings
from paycollect.cli.exits import About, UsageError, trouble
from paycollect.cli.show import to_json
from paycollect.cli.terminal import Screen
from paycollect.sandbox import Sandbox
from paycollect.sandbox.options import SandboxOptions
from tests.cli.conftest import Provider, Terminal
from tests.cli.test_payments import Keyboard

# Not -X dev: asyncio would tell on standard error which step was slow on a busy machine.
COMMAND = (sys.executable, "-W", "error", "-m", "paycollect")


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
    """The message is a command to be copied; for machines it is JSON."""
    assert terminal(command) == 2
    assert "python -m pip install rich typer" in terminal.err
    assert terminal(command, "--json") == 2
    assert json.loads(terminal.err)["error"]["exit_code"] == 2


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_and_a_command_there_is_help(terminal: Terminal) -> None:
    """It says how to install the extra."""
    assert terminal() == 2
    assert "python -m pip install rich typer" in terminal.out


def test_a_broken_installation_is_not_taken_for_a_missing_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the absence of typer or rich means that the extra is missing."""
    monkeypatch.setitem(sys.modules, "paycollect.cli.app", None)
    with pytest.raises(ModuleNotFoundError, match=r"paycollect\.cli\.app"):
        __main__.main(["demo"])


def _send_after_start(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    original = sandbox._introduce

    def introduce(screen: Screen, server: Sandbox) -> None:
        original(screen, server)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(sandbox, "_introduce", introduce)


def test_ctrl_c_leaves_the_sandbox_cleanly(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is that of an interrupted program, and nothing else is said."""
    _send_after_start(monkeypatch, signal.SIGINT)
    assert terminal("sandbox", "--port", "0", "--shapes", "concept") == 130
    assert "export PAYCOLLECT_BASE_URL=http://127.0.0.1:" in terminal.out
    assert terminal.err == "Stopped.\n"


def test_an_option_that_the_sandbox_refuses_is_named(terminal: Terminal) -> None:
    """As it was typed."""
    assert terminal("sandbox", "--port", "0", "--webhook-secret", " ") == 2
    assert "--webhook-secret: must not be blank" in terminal.err


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
        (errors.ConnectError("x"), 6),
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
    """Every unclosed thing would be a warning, and each is an error."""
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


@pytest.mark.parametrize(
    ("arguments", "what", "command"),
    [
        (
            ("checkout", "create", "--json"),
            "Missing option '--amount'",
            "paycollect checkout create",
        ),
        (("--json",), "No such option: --json", "paycollect"),
        (("chekout", "--json"), "chekout", "paycollect"),
        (("checkout", "list", "--limit", "500", "--json"), "--limit", "paycollect checkout list"),
    ],
)
def test_wrong_usage_honours_json(
    arguments: tuple[str, ...], what: str, command: str, terminal: Terminal
) -> None:
    """A program that asked for JSON reads the error, too."""
    assert terminal(*arguments) == 2
    assert terminal.out == ""
    problem = json.loads(terminal.err)["error"]
    assert what in problem["what"]
    assert problem["next"] == f"`{command} --help` shows how it is used"


def test_wrong_usage_cannot_steer_the_terminal(terminal: Terminal) -> None:
    """What was typed, or pasted, is repeated without its control characters."""
    assert terminal("check\x1b[2Jout") == 2
    assert terminal("checkout", "list", "--limit", "\x1b[2J") == 2
    assert "\x1b" not in terminal.err + terminal.out


@pytest.mark.usefixtures("without_extra")
def test_wrong_usage_without_the_extra_cannot_steer_the_terminal(terminal: Terminal) -> None:
    """Argparse repeats what it does not know."""
    assert terminal("sandbox", "--x\x1b[2J") == 2
    assert "--x\ufffd[2J" in terminal.err
    assert "\x1b" not in terminal.err
    assert "`paycollect --help` shows how it is used" in terminal.err


def test_flags_take_no_value_in_help(terminal: Terminal) -> None:
    """`--json <bool>` would make people type a value."""
    for arguments in (("--help",), ("refund", "create", "--help"), ("refund", "--help")):
        assert terminal(*arguments) == 0
        assert "<bool>" not in terminal.out


@pytest.mark.parametrize("arguments", [("sandbox", "--help"), ("checkout", "create", "--help")])
def test_help_in_a_narrow_window_has_whole_names(
    arguments: tuple[str, ...], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option that is cut off cannot be typed."""
    monkeypatch.setenv("COLUMNS", "60")
    assert terminal(*arguments) == 0
    assert "--webhook-" in terminal.out
    assert "\u2026" not in terminal.out
    assert max(len(line) for line in terminal.out.splitlines()) <= 60
    assert terminal("checkout") == 2
    assert terminal.out.startswith("Usage: paycollect checkout")
    assert terminal.err == ""


def test_the_sandbox_takes_the_options_of_the_sandbox(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was typed reaches it; the rest is as in Python."""
    made: list[Sandbox] = []

    async def serve(server: Sandbox, port: int, *, quiet: bool) -> None:
        made.append(server)

    monkeypatch.setattr(sandbox, "_serve", serve)
    assert terminal("sandbox", "--stale-reads", "2.5", "--event-ids", "both") == 0
    assert made[0].options == SandboxOptions(port=8900, stale_reads=2.5, event_ids="both")
    assert terminal("sandbox", "--event-ids", "neither") == 2
    assert "--event-ids" in terminal.err


def test_verbose_shows_the_log(provider: Provider, terminal: Terminal) -> None:
    """Before or after a command; without it the log is quiet, again."""
    for arguments in (("--verbose", "checkout", "list"), ("checkout", "list", "--verbose")):
        assert terminal(*arguments) == 0
        assert "paycollect: " in terminal.err
        assert provider.sandbox.secret_key not in terminal.err
    assert terminal("checkout", "list") == 0
    assert terminal.err == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered(
    shell: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is typed so far is completed, by the shell's own protocol."""
    monkeypatch.setenv("_PAYCOLLECT_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "paycollect che")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "paycollect che")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert terminal() == 0
    assert "checkout" in terminal.out


def test_ctrl_c_in_a_write_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    """It may have taken effect already."""
    about = About(order="INV-1", writes=True)
    assert run.guarded(_raiser(KeyboardInterrupt()), about) == 130
    assert "`paycollect checkout find INV-1` shows what was done" in capsys.readouterr().err


def _raiser(error: BaseException) -> Callable[[], NoReturn]:
    def work() -> NoReturn:
        raise error

    return work

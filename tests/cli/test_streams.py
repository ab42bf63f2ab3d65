"""Standard streams that are closed, full, or a pipe that nobody reads: as real processes see them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from paycollect.__main__ import main
from paycollect.cli import streams
from tests.cli.conftest import CREATE, Provider

# Not -X dev: asyncio would tell on standard error which step was slow on a busy machine.
COMMAND = (sys.executable, "-W", "error", "-m", "paycollect")
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def shell(redirection: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command through a shell, with what it says about its streams."""
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *COMMAND, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout, done.stderr


def unread(arguments: Sequence[str]) -> tuple[int, str]:
    """Run a command whose output is a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen([*COMMAND, *arguments], stdout=writing, stderr=subprocess.PIPE) as done:
        os.close(writing)
        assert done.stderr is not None
        told = done.stderr.read().decode()
    return done.returncode, told


@pytest.mark.parametrize("arguments", [("checkout", "list"), ("--help",), ("demo",)], ids=" ".join)
def test_a_closed_pipe_is_141(arguments: tuple[str, ...], provider: Provider) -> None:
    """Never 1, which would say "not paid"; without a word, as `| head` is no mistake."""
    assert unread(arguments) == (141, "")


@needs_full
@pytest.mark.parametrize("arguments", [("checkout", "list", "--json"), ("--help",)], ids=" ".join)
def test_a_full_disk_has_a_code_and_a_sentence(
    arguments: tuple[str, ...], provider: Provider
) -> None:
    """The exit code is not that of an answer."""
    code, _, told = shell(">/dev/full", *arguments)
    assert code == 74
    assert "could not be written: No space left on device" in told


def test_a_closed_output_has_a_code_and_a_sentence(provider: Provider) -> None:
    """`>&-` closes it."""
    code, _, told = shell(">&-", "checkout", "list")
    assert code == 74
    assert "could not be written: it is closed" in told


@needs_full
def test_a_create_that_could_not_be_written_was_made(provider: Provider) -> None:
    """The exit code says so, and the sentence names the checkout."""
    code, _, told = shell(">/dev/full", *CREATE)
    (made,) = provider.sandbox.collections
    assert code == 5
    assert f"the checkout {made.collection_id} of order INV-1 is made" in told
    assert "`paycollect checkout find INV-1`" in told


def test_a_create_into_a_closed_pipe_was_made(provider: Provider) -> None:
    """141 alone would not say whether there is a checkout."""
    code, told = unread([*CREATE, "--json"])
    (made,) = provider.sandbox.collections
    assert code == 5
    problem = json.loads(told)["error"]
    assert problem["exit_code"] == 5
    assert made.collection_id in problem["what"]


@pytest.mark.parametrize("redirection", ["2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_without_standard_error_the_exit_code_says_it(redirection: str, provider: Provider) -> None:
    """What cannot be told is given up; the result is written all the same."""
    code, out, _ = shell(redirection, "checkout", "get", "nope")
    assert (code, out) == (3, "")


def test_a_letter_that_the_output_cannot_hold_is_written_by_its_number(tmp_path: Path) -> None:
    """A name must not end a command."""
    path = tmp_path / "out"
    with path.open("w", encoding="ascii") as stream:
        streams._Stream(stream).write("Zo\xeb")
    assert path.read_text("ascii") == "Zo\\xeb"


class Broken(io.StringIO):
    """A stream without a descriptor, as in a window without a console, that takes nothing."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        """Take nothing."""
        raise self._error


class Buffered(Broken):
    """A stream that takes everything, and can bring nothing to the disk."""

    def write(self, text: str) -> int:
        """Keep it."""
        return len(text)

    def flush(self) -> None:
        """Bring it to the disk."""
        raise self._error


FULL_DISK = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("stream", "code", "words"),
    [
        (Broken(BrokenPipeError()), 141, ""),
        (Broken(FULL_DISK), 74, "No space left on device"),
        (Buffered(FULL_DISK), 74, "No space left on device"),
        (None, 74, "it is closed"),
    ],
)
def test_output_that_is_lost_is_told(
    stream: Broken | None,
    code: int,
    words: str,
    *,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whichever way it is lost, and of a help text as well."""
    monkeypatch.setattr(sys, "stdout", stream)
    for arguments in (("checkout", "list"), ("--help",)):
        assert main(arguments) == code
        assert words in capsys.readouterr().err
    assert main(CREATE) == 5
    assert "is made" in capsys.readouterr().err


def test_errors_that_cannot_be_told_are_given_up(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code says the same."""
    for stream in (Broken(FULL_DISK), Buffered(FULL_DISK), None):
        monkeypatch.setattr(sys, "stderr", stream)
        assert main(["checkout", "get", "nope"]) == 3

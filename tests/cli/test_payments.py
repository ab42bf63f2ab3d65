"""checkout create, get, list, find; refund; wait."""

from __future__ import annotations

import functools
import io
import sys
from decimal import Decimal

import pytest

from paycollect.cli import progress, settings, show
from paycollect.models import Collection, Fee, Page
from paycollect.retry import RetryPolicy
from paycollect.sandbox import drop_after_commit, respond
from paycollect.session import SessionManager
from paycollect.status import PaymentStatus
from tests.cli.conftest import CREATE, Provider, Terminal


def test_create_shows_where_to_send_the_customer(provider: Provider, terminal: Terminal) -> None:
    """The table of a new checkout holds its URL."""
    assert terminal(*CREATE) == 0
    assert f"{provider.sandbox.url}/sci/checkout?batch=" in terminal.out


def test_create_keeps_metadata_and_urls(provider: Provider, terminal: Terminal) -> None:
    """Every option of create reaches the provider."""
    options = ("--metadata", "a=b=c", "--callback-url", "https://shop.example/r")
    assert terminal(*CREATE, *options, "--webhook-url", "https://shop.example/w") == 0
    sent = provider.sandbox.requests[-1].json
    assert isinstance(sent, dict)
    assert sent["metadata"] == {"a": "b=c"}
    assert sent["callbackUrl"] == "https://shop.example/r"
    assert sent["webhookUrl"] == "https://shop.example/w"


def test_json_has_decimals_as_strings_and_iso_instants(
    provider: Provider, terminal: Terminal
) -> None:
    """A machine loses nothing to floats, and needs no guess about zones."""
    assert terminal(*CREATE, "--json") == 0
    assert terminal.json["amount"] == "25.00"
    assert terminal.json["expires_at"].endswith("+00:00")


def test_metadata_needs_a_name(provider: Provider, terminal: Terminal) -> None:
    """A pair without "=" is wrong usage, and nothing is sent."""
    assert terminal(*CREATE, "--metadata", "a") == 2
    assert "NAME=VALUE" in terminal.err
    assert provider.sandbox.requests == []


def test_a_wrong_amount_is_wrong_usage(provider: Provider, terminal: Terminal) -> None:
    """The field is named, and nothing is sent."""
    assert terminal(*CREATE, "--amount", "0.99") == 2
    assert "amount" in terminal.err
    assert provider.sandbox.requests == []


def test_a_taken_order_id_is_refused_with_advice(collection_id: str, terminal: Terminal) -> None:
    """A duplicate is the provider's refusal, and the advice names the command to look."""
    assert terminal(*CREATE) == 3
    assert "checkout find" in terminal.err


def test_an_existing_checkout_can_be_returned(collection_id: str, terminal: Terminal) -> None:
    """With --if-exists return a repeat gives the same checkout."""
    assert terminal(*CREATE, "--if-exists", "return", "--json") == 0
    assert terminal.json["collection_id"] == collection_id
    assert terminal.json["recovered"] is True


def test_an_unknown_outcome_has_its_own_exit_code(provider: Provider, terminal: Terminal) -> None:
    """A failing provider is neither a refusal nor wrong usage."""
    provider.sandbox.faults.always("POST /auth/token", respond(429, {"Retry-After": "9999"}))
    assert terminal(*CREATE) == 3
    provider.sandbox.faults.clear()
    provider.sandbox.faults.always("POST /collections", respond(503, {"Retry-After": "9999"}))
    assert terminal(*CREATE) == 4
    assert "shows whether it took effect: look before you repeat it" in terminal.said


def test_an_error_for_machines_is_json_on_stderr(provider: Provider, terminal: Terminal) -> None:
    """Standard output stays empty, so that nothing is taken for a result."""
    assert terminal("checkout", "get", "nope", "--json") == 3
    assert terminal.out == ""
    assert '"exit_code": 3' in terminal.err


def test_wrong_credentials_are_named_without_the_secret(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice names the variables, and no output holds a secret."""
    monkeypatch.setenv("PAYCOLLECT_SECRET_KEY", "this-is-the-wrong-secret")
    assert terminal("checkout", "list") == 3
    assert "PAYCOLLECT_APP_ID" in terminal.err
    assert "this-is-the-wrong-secret" not in terminal.err + terminal.out


def test_get_shows_the_record(collection_id: str, provider: Provider, terminal: Terminal) -> None:
    """The payer and what was refunded are rows of their own."""
    provider.do(provider.sandbox.pay(collection_id))
    assert terminal("checkout", "get", collection_id) == 0
    assert "COMPLETED" in terminal.out
    assert "refunds: remaining refundable" in terminal.out


def test_find_looks_for_the_exact_order(collection_id: str, terminal: Terminal) -> None:
    """An order id that only contains the text is not the order."""
    assert terminal("checkout", "find", "INV-1") == 0
    assert collection_id in terminal.out
    assert terminal("checkout", "find", "INV") == 1
    assert "no collection" in terminal.out
    assert terminal("checkout", "find", "INV", "--json") == 1
    assert terminal.json is None


def test_list_filters_and_pages(collection_id: str, terminal: Terminal) -> None:
    """Filters reach the provider, and the page is told."""
    assert terminal("checkout", "list", "--status", "PENDING", "--limit", "1") == 0
    assert collection_id in terminal.out
    assert "page 1 of 1, 1 in all" in terminal.out
    assert terminal("checkout", "list", "--status", "COMPLETED", "--json") == 0
    assert terminal.json["items"] == []


def test_a_refund_needs_a_yes(
    collection_id: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody can be asked, --yes is needed."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert terminal("refund", collection_id) == 2
    assert "--yes" in terminal.err


def test_a_refund_can_be_declined(
    collection_id: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything but a yes refunds nothing."""
    monkeypatch.setattr(sys, "stdin", Keyboard("\n"))
    assert terminal("refund", collection_id) == 1
    assert "Nothing was refunded." in terminal.out


def test_a_refund_is_made(
    collection_id: str,
    provider: Provider,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a yes the refund is shown."""
    provider.do(provider.sandbox.pay(collection_id))
    monkeypatch.setattr(sys, "stdin", Keyboard("y\n"))
    assert terminal("refund", collection_id, "--amount", "5.00", "--json") == 0
    assert terminal.json["amount"] == "5.00"


def test_wait_ends_at_once_when_it_is_paid(
    collection_id: str, provider: Provider, terminal: Terminal
) -> None:
    """A final state needs no waiting, and COMPLETED is exit code 0."""
    provider.do(provider.sandbox.pay(collection_id))
    assert terminal("wait", collection_id) == 0
    assert "COMPLETED" in terminal.out


def test_wait_can_confirm(collection_id: str, provider: Provider, terminal: Terminal) -> None:
    """Paid is not enough: it must be the amount and the order that were expected."""
    provider.do(provider.sandbox.pay(collection_id))
    assert terminal("wait", collection_id, "--amount", "25.00", "--order-id", "INV-1") == 0
    assert terminal("wait", collection_id, "--amount", "26.00") == 1
    assert "do not fulfil" in terminal.err
    assert terminal("wait", collection_id, "--order-id", "INV-1") == 2


def test_wait_says_no_when_it_was_not_paid(
    collection_id: str, provider: Provider, terminal: Terminal
) -> None:
    """Any other final state is exit code 1."""
    provider.do(provider.sandbox.decline(collection_id))
    assert terminal("wait", collection_id) == 1


def test_wait_gives_up(collection_id: str, terminal: Terminal) -> None:
    """Still pending after the timeout is neither yes nor no."""
    assert terminal("wait", collection_id, "--timeout", "0.02") == 4
    assert "waiting for the payment of INV-1" in terminal.err
    assert "PENDING" in terminal.err


def test_wait_shows_how_long_it_can_take(
    collection_id: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal the time that is left runs down."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert terminal("wait", collection_id, "--timeout", "0.02") == 4
    assert "0:00 left" in terminal.err


def test_wait_ends_when_it_is_paid_meanwhile(
    collection_id: str,
    provider: Provider,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next poll sees it."""

    def pay(*_: object) -> float:
        provider.do(provider.sandbox.pay(collection_id))
        return 60.0

    monkeypatch.setattr(progress, "longest_wait", pay)
    assert terminal("wait", collection_id) == 0
    assert "COMPLETED" in terminal.out


def test_a_record_without_an_order_or_a_time_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The provider's pages disagree on which fields an entry of a list has."""
    bare = Collection(
        collection_id="SCI1", amount=Decimal(1), currency="USD", status=PaymentStatus("ON_HOLD")
    )
    show.page(Page(items=(bare,), page=1, per_page=20, total_items=1, total_pages=1), as_json=False)
    assert "ON_HOLD" in capsys.readouterr().out
    assert progress.longest_wait(bare, None) is None
    assert progress.longest_wait(bare, 5.0) == 5.0


def test_nobody_knows_how_long_without_an_expiry() -> None:
    """Without a limit no time left is shown."""
    assert progress.left(3, None) == ""
    assert progress.left(3, 128) == "2:05 left"


def test_a_lost_answer_is_recovered(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A create whose answer was lost shows the checkout that it made."""
    monkeypatch.setattr("random.random", lambda: 0.0)
    provider.sandbox.faults.next("POST /collections", drop_after_commit())
    assert terminal(*CREATE) == 0
    assert "recovered" in terminal.out


class Keyboard(io.StringIO):
    """A terminal's input."""

    def isatty(self) -> bool:
        """Pretend that a person sits there."""
        return True


def test_json_leaves_out_what_was_not_told(collection_id: str, terminal: Terminal) -> None:
    """A field of a list entry that is not there is not one that is none."""
    assert terminal("checkout", "list", "--json") == 0
    (entry,) = terminal.json["items"]
    assert "completed_at" not in entry
    assert None not in entry.values()


def test_find_shows_the_whole_record(
    collection_id: str, provider: Provider, terminal: Terminal
) -> None:
    """An entry of a list has fewer fields than the record itself."""
    assert terminal("checkout", "find", "INV-1", "--json") == 0
    found = terminal.json
    assert terminal("checkout", "get", collection_id, "--json") == 0
    assert found == terminal.json
    assert "description" in found
    missing = '{"success": false, "status": 404, "error": {"code": "RESOURCE_NOT_FOUND"}}'
    provider.sandbox.faults.next(f"GET /collections/{collection_id}", respond(404, body=missing))
    assert terminal("checkout", "find", "INV-1", "--json") == 0
    assert terminal.json["collection_id"] == collection_id


def test_no_connection_is_not_a_write_that_may_have_taken_effect(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent, so that nothing can have happened."""
    monkeypatch.setenv("PAYCOLLECT_BASE_URL", "http://127.0.0.1:1/api/v3")
    once = functools.partial(SessionManager, retry=RetryPolicy(max_retries=0))
    monkeypatch.setattr(settings, "SessionManager", once)
    assert terminal(*CREATE) == 6
    assert "connection refused" in terminal.err
    assert "effect" not in terminal.err


def test_a_page_beyond_the_last_is_told(collection_id: str, terminal: Terminal) -> None:
    """An empty table would look like no payments."""
    assert terminal("checkout", "list", "--page", "9") == 1
    assert "There is no page 9: the last is 1." in terminal.out
    assert terminal("checkout", "list", "--page", "9", "--json") == 1
    assert terminal.json["items"] == []


def test_nothing_is_page_one(provider: Provider, terminal: Terminal) -> None:
    """A shop that has sold nothing yet has done nothing wrong."""
    assert terminal("checkout", "list") == 0
    assert "page 1 of 1, 0 in all" in terminal.out


@pytest.mark.parametrize("command", ["checkout", "refund"])
def test_a_time_that_ends_before_it_begins_is_told(
    command: str, provider: Provider, terminal: Terminal
) -> None:
    """Nothing is asked."""
    assert terminal(command, "list", "--from", "2026-02-01", "--to", "2026-01-01") == 2
    assert "--from is after --to" in terminal.err
    assert terminal(command, "list", "--from", "2026-13-01", "--to", "2026-01-01") == 2
    assert "--from: " in terminal.err
    assert provider.sandbox.requests == []


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--timeout", "-1"), "--timeout: "), (("--amount", "0"), "--amount: ")],
)
def test_a_wait_that_cannot_be_is_wrong_usage(
    options: tuple[str, ...], word: str, provider: Provider, terminal: Terminal
) -> None:
    """The option is named as it was typed, and nothing is asked."""
    assert terminal("wait", "SCI1", *options) == 2
    assert word in terminal.err
    assert provider.sandbox.requests == []


def test_a_wait_that_ends_too_early_speaks_of_no_effect(
    collection_id: str, terminal: Terminal
) -> None:
    """A wait changes nothing; what to do next names the id."""
    assert terminal("wait", collection_id, "--timeout", "0.02") == 4
    assert "effect" not in terminal.err
    assert f"paycollect checkout get {collection_id}" in terminal.err


def test_advice_carries_the_id(collection_id: str, provider: Provider, terminal: Terminal) -> None:
    """What is to be done next can be copied."""
    assert terminal(*CREATE) == 3
    assert "`paycollect checkout find INV-1`" in terminal.err
    assert terminal("wait", collection_id, "--amount", "26.00", "--timeout", "0.02") == 4
    provider.do(provider.sandbox.pay(collection_id))
    assert terminal("refund", collection_id, "--yes", "--json") == 0
    assert terminal("refund", collection_id, "--yes") == 3
    assert f"`paycollect checkout get {collection_id}`" in terminal.err


def test_an_id_for_the_shell_is_quoted(provider: Provider, terminal: Terminal) -> None:
    """Advice is there to be copied into a shell."""
    provider.sandbox.faults.always("POST /collections", respond(503, {"Retry-After": "9999"}))
    assert terminal(*CREATE, "--order-id", "INV 1; ls") == 4
    assert "`paycollect checkout find 'INV 1; ls'`" in terminal.err


def test_a_read_that_failed_speaks_of_no_effect(provider: Provider, terminal: Terminal) -> None:
    """A read changes nothing."""
    provider.sandbox.faults.always("GET /collections", respond(503, {"Retry-After": "9999"}))
    assert terminal("checkout", "list") == 4
    assert "effect" not in terminal.err


def test_refunds_are_shown_and_listed(
    collection_id: str, provider: Provider, terminal: Terminal
) -> None:
    """One of a collection, or all."""
    assert terminal("refund", "show", collection_id) == 1
    assert "Nothing of this collection was refunded." in terminal.out
    assert terminal("refund", "show", collection_id, "--json") == 1
    assert terminal.out == "null\n"
    provider.do(provider.sandbox.pay(collection_id))
    assert terminal("refund", "create", collection_id, "--yes", "--json") == 0
    refund_id = terminal.json["refund_id"]
    assert terminal("refund", "show", collection_id) == 0
    assert refund_id in terminal.out
    assert terminal("refund", "list") == 0
    assert refund_id in terminal.out
    assert "page 1 of 1, 1 in all" in terminal.out
    assert terminal("refund", "list", "--status", "FAILED", "--json") == 0
    assert terminal.json["items"] == []


def test_the_price_list_is_shown(provider: Provider, terminal: Terminal) -> None:
    """Rates have their unit."""
    assert terminal("pricing") == 0
    assert "COLLECTION_FEE" in terminal.out
    assert "3.00 %" in terminal.out or "3 %" in terminal.out
    assert terminal("pricing", "--json") == 0
    assert terminal.json["fees"]


def test_fees_have_their_unit_or_are_waived(capsys: pytest.CaptureFixture[str]) -> None:
    """A percentage is not an amount."""
    fixed = Fee(code="A", name="Fixed", type="FIXED", rate=Decimal("0.30"))
    free = Fee(code="B", name="Free", type="FIXED", rate=Decimal(1), is_waived=True)
    show.fees([fixed, free])
    told = capsys.readouterr().out
    assert "0.30 USD" in told
    assert "waived" in told


def test_an_id_is_never_broken(
    terminal: Terminal,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a narrow window every id, and the URL to pay at, can be copied in one piece."""
    monkeypatch.setenv("COLUMNS", "60")
    order_id = "ORDER-2026-11-24-" + "X" * 60
    assert terminal(*CREATE, "--order-id", order_id) == 0
    record = provider.sandbox.collections[0]
    assert record.collection_id in terminal.out
    assert order_id in terminal.out
    assert f"{provider.sandbox.url}/sci/checkout?batch={record.collection_id}" in terminal.out
    assert terminal("checkout", "list") == 0
    assert record.collection_id in terminal.out
    assert order_id in terminal.out


def test_a_long_text_is_wrapped_at_its_spaces(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its label, and not in the middle of a word."""
    monkeypatch.setenv("COLUMNS", "60")
    assert terminal(*CREATE, "--description", "twelve words " * 7) == 0
    assert terminal("checkout", "find", "INV-1") == 0
    lines = [line for line in terminal.out.splitlines() if "twelve" in line]
    assert len(lines) > 1
    assert all(len(line) <= 60 for line in lines)


def test_the_question_cannot_steer_the_terminal(
    provider: Provider, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that was copied from somewhere may hold anything."""
    monkeypatch.setattr(sys, "stdin", Keyboard("n\n"))
    assert terminal("refund", "SCI\x1b[2J1") == 1
    assert "\x1b" not in terminal.err + terminal.out
    assert "SCI\ufffd[2J1" in terminal.err

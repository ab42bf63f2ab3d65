"""Asking and answering as values: `Request`, `Response`, and what an answer means.

Invariants: `decipher` gives the value that a request promises, or raises an error of the
tree; there is no third way. Nothing here does I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Generic, NoReturn, TypeVar

from attrs import define, field

from paycollect import errors
from paycollect._api.decode import JsonObject
from paycollect.models import JsonValue
from paycollect.retry import parse_retry_after

T = TypeVar("T")


@define(kw_only=True, eq=False, repr=False)
class Request(Generic[T]):
    """One call of the API.

    Attributes:
        template: the path with its ids named, for logs.
        decode: makes the value of the answer's `data`.
        repeatable: whether the request does no harm when it took effect and is made again.
        recoverable: whether, beyond that, a repeat tells whether an earlier one took effect.
        for_token: whether it is a token that is asked for: then a 404 is about the address.
        order_id: the order that it is about, for errors and records.
        collection_id: the collection that it is about, for records.
        conflict: the error that a 409 means.

    """

    method: str
    path: str
    decode: Callable[[JsonValue], T]
    template: str = ""
    body: bytes | None = None
    repeatable: bool = True
    recoverable: bool = False
    for_token: bool = False
    order_id: str | None = None
    collection_id: str | None = None
    conflict: type[errors.ConflictError] = errors.ConflictError


@define(kw_only=True, eq=False, repr=False)
class Response:
    """What came back, read to its end."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(factory=dict)
    """Looked up without regard to case."""
    is_foreign: bool = False
    """Whether it was found to be somebody else's: a gateway's, or an answer to another request."""


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_scan = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant).raw_decode
_OK: Final = range(200, 300)
_NO: Final = range(400, 500)
_REDIRECTS: Final = range(300, 400)
_NOT_THE_ENVELOPE: Final = (
    "the answer has not the provider's form: it may come from a gateway, or base_url is wrong"
)
_TOLD_BY_STATUS: Final = frozenset(
    {
        errors.AuthenticationError,
        errors.RequestTimeoutError,
        errors.RateLimitError,
        errors.ServerError,
    }
)
"""Errors that say how to go on, whoever sent them."""


def decipher(
    request: Request[T],
    response: Response,
    *,
    secrets: tuple[str, ...] = (),
    now: Callable[[], float] = lambda: 0.0,
) -> T:
    """Turn an answer into the value that the request promises.

    Args:
        request: what was asked.
        response: what came back.
        secrets: texts that no error may show, should the provider echo them.
        now: gives the present in seconds since 1970, for a Retry-After that is a date.

    Raises:
        ApiError: the provider said no; the class follows status and code.
        DecodeError: the answer is not of the documented form.
        ResponseLostError: the answer belongs to another request.

    """
    document = _document(response)
    success = None if document is None else document.get("success")
    if document is None or type(success) is not bool or (success and response.status not in _OK):
        response.is_foreign = True
        raise _foreign(response, document or {}, secrets, now)
    if not success:
        raise _api_error(request, response, document, secrets, now)
    try:
        return request.decode(document.get("data"))
    except errors.DecodeError as error:
        error.request_id = _request_id(response, document, secrets)
        raise


def _foreign(
    response: Response, document: JsonObject, secrets: tuple[str, ...], now: Callable[[], float]
) -> errors.ApiError | errors.DecodeError:
    """Judge an answer that is not the provider's "yes" or "no".

    A page of a gateway, a firewall or a proxy tells nothing of what became of the request: it is as
    if no answer had come, except that a status may say how to go on.
    """
    status, id_ = response.status, _request_id(response, document, secrets)
    error: errors.ApiError | errors.DecodeError
    if status in _OK:
        error = errors.DecodeError(
            f"HTTP {status}, but {_NOT_THE_ENVELOPE}, and does not say that it succeeded",
            request_id=id_,
        )
    else:
        kind = _kind(status, "")
        kind = kind if kind in _TOLD_BY_STATUS else errors.ApiError
        error = kind(_NOT_THE_ENVELOPE, status=status, request_id=id_)
    error.outcome = errors.Outcome.UNKNOWN
    error.is_retryable = status not in _REDIRECTS
    _take_retry_after(error, response, now)
    return error


def _document(response: Response) -> JsonObject | None:
    """Read the body as a JSON object; None where it is anything else."""
    try:
        text = response.body.decode().strip(" \t\r\n")
        document, end = _scan(text)
    except (ValueError, RecursionError, ArithmeticError):
        return None
    return document if type(document) is dict and end == len(text) else None


def request_id(response: Response, secrets: tuple[str, ...]) -> str | None:
    """Find the provider's id of the request, for a log."""
    return _request_id(response, _document(response) or {}, secrets)


def _request_id(response: Response, document: JsonObject, secrets: tuple[str, ...]) -> str | None:
    meta = document.get("meta")
    found = meta.get("requestId") if type(meta) is dict else None
    text = found if type(found) is str else response.headers.get("X-Request-Id")
    return errors.clean_id(_hidden(text, secrets) if text else None)


def _api_error(
    request: Request[T],
    response: Response,
    document: JsonObject,
    secrets: tuple[str, ...],
    now: Callable[[], float],
) -> errors.ApiError:
    status = response.status
    told = document.get("status")
    if status in _OK and type(told) is int:
        status = told  # "success": false under HTTP 200: the envelope knows better
    detail = document.get("error")
    detail = detail if type(detail) is dict else {}
    code = _text(detail.get("code")) or _text(document.get("code"))
    kind = _kind(status, code)
    if kind is errors.ConflictError:
        kind = request.conflict
    if kind is errors.NotFoundError and (
        request.for_token or (status, code) != (404, "RESOURCE_NOT_FOUND")
    ):
        kind = errors.ApiError  # no such path, or no such token: nothing about what was asked for
    sentences = dict.fromkeys((_text(document.get("message")), _text(detail.get("detail"))))
    error = kind(
        _hidden(": ".join(filter(None, sentences)) or "the provider gave no reason", secrets),
        status=status,
        code=_hidden(code, secrets),
        request_id=_request_id(response, document, secrets),
        fields={
            _hidden(name, secrets): _hidden(what, secrets)
            for name, what in _fields(document, detail).items()
        },
    )
    if not (response.status in _OK or response.status in _NO) or (
        kind is errors.ApiError and status not in _NO
    ):
        error.outcome = errors.Outcome.UNKNOWN  # "no" for no reason that we know
    if isinstance(error, errors.NotFoundError):
        error.path = request.path.partition("?")[0]
    if request.for_token and status == 404:  # noqa: PLR2004  HTTP's own
        error.is_retryable = True
    _take_retry_after(error, response, now)
    return error


def _take_retry_after(
    error: errors.PayCollectError, response: Response, now: Callable[[], float]
) -> None:
    if isinstance(error, (errors.RateLimitError, errors.ServerError)):
        error.retry_after = parse_retry_after(response.headers.get("Retry-After"), now=now())


def _kind(status: int, code: str) -> type[errors.ApiError]:
    """Choose the class of an error: a known code says most, but a failure may carry any."""
    if status >= 500:  # noqa: PLR2004  HTTP's own
        return errors.ServerError
    by_status = errors.BY_STATUS.get(status)
    if by_status is not None and by_status.is_retryable:
        return by_status
    return errors.BY_CODE.get(code) or by_status or errors.ApiError


def _text(value: object) -> str:
    return value if type(value) is str else ""


def _hidden(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "[redacted]")
    return text


def _fields(document: JsonObject, detail: JsonObject) -> dict[str, str]:
    """Find what is wrong with which field: a list of {field, message}, or a mapping."""
    places = (
        detail.get("fields"),
        detail.get("details"),
        document.get("errors"),
        document.get("details"),
    )
    found = next((place for place in places if place and type(place) in (list, dict)), None)
    if type(found) is dict:
        return {name: _problem(what) for name, what in found.items()}
    entries = found if type(found) is list else []
    return {
        _text(entry.get("field")): _text(entry.get("message"))
        for entry in entries
        if type(entry) is dict and entry.get("field")
    }


def _problem(what: JsonValue) -> str:
    if type(what) is list:
        return ", ".join(filter(None, map(_text, what)))
    return _text(what)

"""Asking and answering as values: `Request`, `Response`, and what an answer means.

The law of this room: `decipher` gives the value that a request promises, or raises an error of the
tree; there is no third way. Nothing here does I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Generic, NoReturn, TypeVar

from attrs import define, field

from paycollect import errors
from paycollect._convert import JsonObject
from paycollect.models import JsonValue
from paycollect.retry import parse_retry_after

T = TypeVar("T")


@define(kw_only=True)
class Request(Generic[T]):
    """One call of the API.

    Attributes:
        template: the path with its ids named, for logs.
        decode: makes the value of the answer's `data`.
        repeatable: whether the request does no harm when it took effect and is made again.
        recoverable: whether, beyond that, a repeat tells whether an earlier one took effect.
        authorized: whether it carries the access token.
        order_id: the order that it is about, for errors.
        conflict: the error that a 409 means.

    """

    method: str
    path: str
    decode: Callable[[JsonValue], T]
    template: str = ""
    body: bytes | None = field(default=None, repr=False)
    repeatable: bool = True
    recoverable: bool = False
    authorized: bool = True
    order_id: str | None = None
    conflict: type[errors.ConflictError] = errors.ConflictError


@define(kw_only=True)
class Response:
    """What came back, read to its end."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    """Looked up without regard to case."""


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_scan = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant).raw_decode
_SUCCESS: Final = range(200, 300)
_BY_STATUS: Final[dict[int, type[errors.ApiError]]] = {
    400: errors.InvalidRequestError,
    401: errors.AuthenticationError,
    402: errors.InsufficientBalanceError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    408: errors.RequestTimeoutError,
    409: errors.ConflictError,
    422: errors.InvalidRequestError,
    429: errors.RateLimitError,
}
_BY_CODE: Final[dict[str, type[errors.ApiError]]] = {
    "AUTH_TOKEN_MISSING": errors.AuthenticationError,
    "AUTH_TOKEN_INVALID": errors.AuthenticationError,
    "AUTH_TOKEN_REFRESH_FAILED": errors.AuthenticationError,
    "AUTH_INVALID_CREDENTIALS": errors.AuthenticationError,
    "AUTH_APP_INACTIVE": errors.AuthenticationError,
    "AUTH_SCOPE_DENIED": errors.PermissionDeniedError,
    "VALIDATION_ERROR": errors.InvalidRequestError,
    "INVALID_STATUS": errors.InvalidRequestError,
    "RESOURCE_NOT_FOUND": errors.NotFoundError,
    "INSUFFICIENT_BALANCE": errors.InsufficientBalanceError,
    "DUPLICATE_REFERENCE": errors.DuplicateOrderError,
    "ALREADY_REFUNDED": errors.AlreadyRefundedError,
    "RATE_LIMIT_EXCEEDED": errors.RateLimitError,
    "INTERNAL_ERROR": errors.ServerError,
}
"""Provider docs: errors. For some codes the HTTP status is not published."""


def decipher(
    request: Request[T],
    response: Response,
    *,
    hide: tuple[str, ...] = (),
    wall: Callable[[], float] = lambda: 0.0,
) -> T:
    """Turn an answer into the value that the request promises.

    Args:
        request: what was asked.
        response: what came back.
        hide: texts that no error may show, should the provider echo them.
        wall: the present in seconds since 1970, for a Retry-After that is a date.

    Raises:
        ApiError: the provider said no; the class follows status and code.
        DecodeError: the answer is not of the documented form.
        ResponseLostError: the answer belongs to another request.

    """
    document = _document(response)
    if response.status not in _SUCCESS or (document and document.get("success") is False):
        raise _api_error(request, response, document or {}, hide, wall)
    if document is None:
        raise errors.DecodeError(
            f"the provider answered HTTP {response.status} without a JSON object",
            request_id=_request_id(response, {}, hide),
        )
    try:
        return request.decode(document.get("data"))
    except errors.DecodeError as error:
        error.request_id = _request_id(response, document, hide)
        raise


def _document(response: Response) -> JsonObject | None:
    """Read the body as a JSON object; None where it is anything else."""
    try:
        text = response.body.decode().strip(" \t\r\n")
        document, end = _scan(text)
    except (ValueError, RecursionError, ArithmeticError):
        return None
    return document if type(document) is dict and end == len(text) else None


def request_id(response: Response, hide: tuple[str, ...]) -> str | None:
    """Find the provider's id of the request, for a log."""
    return _request_id(response, _document(response) or {}, hide)


def _request_id(response: Response, document: JsonObject, hide: tuple[str, ...]) -> str | None:
    meta = document.get("meta")
    found = meta.get("requestId") if type(meta) is dict else None
    text = found if type(found) is str else response.headers.get("X-Request-Id")
    return errors.clean_id(_hidden(text, hide) if text else None)


def _api_error(
    request: Request[T],
    response: Response,
    document: JsonObject,
    hide: tuple[str, ...],
    wall: Callable[[], float],
) -> errors.ApiError:
    status = response.status
    told = document.get("status")
    if status in _SUCCESS and type(told) is int:
        status = told  # "success": false under HTTP 200: the envelope knows better
    detail = document.get("error")
    detail = detail if type(detail) is dict else {}
    code = _text(detail.get("code")) or _text(document.get("code"))
    kind = _kind(status, code)
    if kind is errors.ConflictError:
        kind = request.conflict
    sentences = dict.fromkeys((_text(document.get("message")), _text(detail.get("detail"))))
    error = kind(
        _hidden(": ".join(filter(None, sentences)) or "the provider gave no reason", hide),
        status=status,
        code=_hidden(code, hide),
        request_id=_request_id(response, document, hide),
        fields={
            _hidden(name, hide): _hidden(what, hide)
            for name, what in _fields(document, detail).items()
        },
    )
    if kind is errors.ApiError and status in _SUCCESS:
        error.outcome = errors.Outcome.UNKNOWN  # "no" for no reason that we know
    if isinstance(error, (errors.RateLimitError, errors.ServerError)):
        error.retry_after = parse_retry_after(response.headers.get("Retry-After"), now=wall())
    return error


def _kind(status: int, code: str) -> type[errors.ApiError]:
    """Choose the class of an error: a known code says most, but a failure may carry any."""
    if status >= 500:  # noqa: PLR2004  HTTP's own
        return errors.ServerError
    by_status = _BY_STATUS.get(status)
    if by_status is not None and by_status.is_retryable:
        return by_status
    return _BY_CODE.get(code) or by_status or errors.ApiError


def _text(value: object) -> str:
    return value if type(value) is str else ""


def _hidden(text: str, hide: tuple[str, ...]) -> str:
    for secret in hide:
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

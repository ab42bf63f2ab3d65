"""How the provider says no: a status, a code, a sentence, and the fields that are wrong."""

from __future__ import annotations

from http import HTTPStatus


class RefusedError(Exception):
    """A request that the sandbox refuses, as the provider would (provider docs: errors).

    Attributes:
        status: the HTTP status of the answer.
        code: the provider's machine-readable code.
        message: its sentence.
        fields: what is wrong with which field.

    """

    def __init__(
        self, status: int, code: str, message: str, fields: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status: int = int(status)
        self.code = code
        self.message = message
        self.fields: dict[str, str] = fields or {}


def invalid(fields: dict[str, str]) -> RefusedError:
    """Refuse a request with wrong fields."""
    return RefusedError(
        HTTPStatus.BAD_REQUEST, "VALIDATION_ERROR", "The given data was invalid", fields
    )


def not_found(what: str) -> RefusedError:
    """Refuse a request for something that is not there, or is another app's."""
    return RefusedError(HTTPStatus.NOT_FOUND, "RESOURCE_NOT_FOUND", f"{what} not found")


def wrong_state(message: str) -> RefusedError:
    """Refuse a step that the present state does not allow."""
    return RefusedError(HTTPStatus.BAD_REQUEST, "INVALID_STATUS", message)

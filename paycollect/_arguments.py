"""The caller's arguments, checked before anything is sent.

Invariants: a mistake is a TypeError (wrong kind of thing) or a ValueError (wrong thing)
whose text begins with the argument's name, says what is needed, and does not repeat the value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Context, Decimal
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Final, TypeVar
from urllib.parse import urlsplit

from paycollect._json import Style, plain_number, write

T = TypeVar("T")
_MOST_CHARACTERS: Final = 100
_MOST_DIGITS: Final = 12  # cents in a JSON number stay exact in an IEEE double
_PLAIN_DECIMAL: Final = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?", re.ASCII)
# What nearly all amounts look like: good for any `least` up to 1, so there is nothing to compute.
_PLAIN_PRICE: Final = re.compile(r"[1-9][0-9]{0,9}(?:\.[0-9]{1,2})?", re.ASCII)
_LARGEST_EXPONENT: Final = 24
_LONGEST_TIME: Final = 10**9
_SAFE_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~@!$&'()*+,;=:-]{1,128}){1,16}", re.ASCII)
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
# What nearly all URLs look like, so that they need not be taken apart: a tenth of the time.
_PLAIN_URL: Final = re.compile(
    r"https?://[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}(?::[1-9][0-9]{0,3})?"
    r"(?:[/?#][\x21-\x5b\x5d-\x7e]{0,1500})?",
    re.ASCII,
)
is_plain_url: Final = _PLAIN_URL.fullmatch
# A shop passes the same few addresses with each of its orders.
_is_known_plain_url: Final = lru_cache(maxsize=16)(is_plain_url)


def is_plain_url_with(url: str, end: str) -> bool:
    """Tell the same of an address, faster where it is a known one up to the id at its end."""
    stem = url.removesuffix(end)
    if stem.endswith("=") and end.isalnum() and end.isascii():
        return _is_known_plain_url(stem) is not None
    return is_plain_url(url) is not None


_CENT: Final = Decimal("0.01")
_EXACT: Final = Context(prec=40)  # the caller's own context may round to fewer digits
_SAFE_URL: Final = re.compile(r"[^\x00-\x20\x7f\\]{1,2048}")


def amount(value: object, *, name: str = "amount", least: int | Decimal = 1) -> Decimal:
    """Check an amount of USD: a Decimal, int or str of at most 2 decimals, and at least `least`."""
    if type(value) is str and _PLAIN_PRICE.fullmatch(value):
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, (Decimal, int, str)):
        raise TypeError(
            f"{name}: a Decimal, an int or a str is needed, not {type(value).__name__}"
            + (" (floats are not exact: pass '25.00')" if isinstance(value, float) else "")
        )
    number = _decimal(value, name)
    if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
        raise ValueError(f"{name}: too large, or too many digits")
    if number < least:
        raise ValueError(f"{name}: must be at least {least}")
    if number != number.quantize(_CENT, context=_EXACT):
        raise ValueError(f"{name}: at most 2 decimals")
    return number


def _decimal(value: Decimal | int | str, name: str) -> Decimal:
    if isinstance(value, str) and not _PLAIN_DECIMAL.fullmatch(value):
        raise ValueError(f"{name}: a plain decimal text such as '25.00' is needed")
    if isinstance(value, int) and abs(value) >= 10 ** (_MOST_DIGITS + 1):
        raise ValueError(f"{name}: too large, or too many digits")
    return Decimal(value)


def text(value: object, name: str, *, most: int = _MOST_CHARACTERS) -> str:
    """Check a text of 1 to `most` characters that can be written as UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: a str is needed, not {type(value).__name__}")
    if not 0 < len(value) <= most:
        raise ValueError(f"{name}: must have 1 to {most} characters, not {len(value)}")
    if not value.isascii():
        encodable(value, name)
    return value


def order_id(value: object, name: str = "order_id") -> str:
    """Check an order id: a provider that trims or drops characters must not make it another one."""
    if isinstance(value, str) and 0 < len(value) <= _MOST_CHARACTERS:
        # What is printable is neither a lone surrogate nor any white space but the plain space.
        if value.isprintable() and value[0] != " " and value[-1] != " ":
            return value
        raise ValueError(f"{name}: must have no space at its ends, and no unprintable characters")
    return text(value, name)


def encodable(value: str, name: str) -> str:
    """Refuse lone surrogates, which no JSON document can carry."""
    try:
        value.encode()
    except UnicodeEncodeError:
        pass
    else:
        return value
    raise ValueError(f"{name}: holds a lone surrogate, which cannot be written as UTF-8")


def url(value: object, name: str) -> str:
    """Check an absolute http(s) URL."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: a str is needed, not {type(value).__name__}")
    if _is_known_plain_url(value):
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not _SAFE_URL.fullmatch(value):
        raise ValueError(f"{name}: an absolute http(s) URL is needed")
    return encodable(value, name)


def secure_url(value: object, name: str) -> str:
    """Check an https URL; http is good enough on loopback only."""
    good = url(value, name)
    if good.startswith("https://"):
        return good
    parts = urlsplit(good)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"{name}: must be https (http only on loopback)")
    return good


def base_url(value: object, name: str = "base_url") -> str:
    """Check the API's address, and give it without a trailing slash."""
    good = secure_url(value, name)
    parts = urlsplit(good)
    if "?" in good or "#" in good or "@" in parts.netloc:  # also an empty query: paths go after it
        raise ValueError(f"{name}: must have no credentials, query or fragment")
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        pass
    else:
        return good.rstrip("/")
    raise ValueError(f"{name}: the host is not a valid name")


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def usd(value: object) -> str:
    """Check a currency: the server silently ignores any but USD (provider docs: create)."""
    if not isinstance(value, str):
        raise TypeError(f"currency: a str is needed, not {type(value).__name__}")
    if value != "USD":
        raise ValueError("currency: only USD is supported; the provider would charge USD anyway")
    return value


def document(value: object, name: str) -> str:
    """Check an object of JSON values, Decimals among them, and give it as JSON text."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: a mapping is needed, not {type(value).__name__}")
    kind: type[Exception] = ValueError
    try:
        return encodable(write(value, _DOCUMENT), name)
    except TypeError:
        kind = TypeError
    except (ValueError, RecursionError):
        pass
    raise kind(f"{name}: must be JSON-serialisable, without NaN, cycles or lone surrogates")


def _number(value: float | Decimal) -> str:
    """Write a number of a document, with Decimals as the numbers that they are."""
    if isinstance(value, Decimal) and abs(value.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError
    return plain_number(value)


_DOCUMENT: Final = Style(encode_basestring, _number)


def path(value: object) -> str:
    """Check a path below the base URL."""
    if not isinstance(value, str):
        raise TypeError(f"path: a str is needed, not {type(value).__name__}")
    if not _SAFE_PATH.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise ValueError("path: a plain path below the base URL is needed, such as '/refunds'")
    return value


def path_id(value: object, name: str) -> str:
    """Check an id that becomes part of a path: `/`, `?`, `#` and `..` never get through."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: a str is needed, not {type(value).__name__}")
    if not _SAFE_ID.fullmatch(value):
        raise ValueError(f"{name}: only letters, digits, '_' and '-' are allowed, 1 to 128 of them")
    return value


def whole(value: object, name: str, *, least: int, most: int) -> int:
    """Check a whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: an int is needed, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name}: must be {least} to {most}")
    return value


def seconds(value: object, name: str) -> float:
    """Check a time limit: seconds, more than 0, up to a billion."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: seconds are needed, not {type(value).__name__}")
    if not 0 < value <= _LONGEST_TIME:
        raise ValueError(f"{name}: must be more than 0, and finite")
    return float(value)


def instance(value: object, kind: type[T], name: str) -> T:
    """Check that a value is of a type."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: a {kind.__name__} is needed, not {type(value).__name__}")
    return value


def methods(value: T, names: tuple[str, ...], name: str) -> T:
    """Check that a value has the methods of a protocol."""
    missing = [method for method in names if not callable(getattr(value, method, None))]
    if missing:
        raise TypeError(f"{name}: {type(value).__name__} has no {', '.join(missing)}")
    return value


def query(value: object) -> dict[str, str | int]:
    """Check query parameters: texts or whole numbers by name."""
    if not isinstance(value, Mapping):
        raise TypeError(f"query: a mapping is needed, not {type(value).__name__}")
    for name, parameter in value.items():
        good = isinstance(parameter, (str, int)) and not isinstance(parameter, bool)
        if not isinstance(name, str) or not good:
            raise TypeError("query: names must be str, values str or int")
        encodable(f"{name}{parameter}", "query")
    return dict(value)


def day(value: object, name: str) -> str:
    """Check a day: a `date`, or its text as YYYY-MM-DD."""
    if isinstance(value, datetime) or not isinstance(value, (date, str)):
        raise TypeError(f"{name}: a date, or a str as YYYY-MM-DD, is needed")
    if isinstance(value, date):
        return value.isoformat()
    try:
        good = date.fromisoformat(value).isoformat() == value
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{name}: a day as YYYY-MM-DD is needed")
    return value


def moment(value: object, name: str) -> datetime:
    """Check an instant: a datetime that knows its offset from UTC."""
    if not isinstance(value, datetime):
        raise TypeError(f"{name}: a datetime is needed, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise ValueError(f"{name}: must be aware, such as datetime.now(UTC)")
    return value


def credential(value: object, name: str) -> str:
    """Check an app id or a secret: not empty, printable ASCII without spaces."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: a str is needed, not {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{name}: must not be empty")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"{name}: must be printable ASCII without spaces")
    return value

"""What one value of a map may be: each function turns a scalar into its checked value, or raises Wrong.

Facts about a single value are settled here; how values agree with each other is `relations`' concern.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from ipaddress import IPv6Address
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from iso3166 import countries, countries_by_alpha2

from core.shard_map.currencies import MINOR_UNITS
from core.shard_map.faults import Wrong, did_you_mean, show
from core.shard_map.model import Address, RegionName, Secret, ShardName
from core.shard_map.tree import Kind, Scalar

C = TypeVar("C", bound=str)

ADDRESS_EXAMPLE: Final = "Write host:port, for example 10.0.0.5:5432 or [2001:db8::5]:5432."
GATEWAY_EXAMPLE: Final = "https://qa.gateway.example"
REDIS_SCHEMES: Final = ("redis", "rediss")
NAME_SHAPE: Final = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
ORDER_PREFIX_SHAPE: Final = r"[A-Z]{1,6}"
LANGUAGE_SHAPE: Final = r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*"
NAME_CHARS_MAX: Final = 40
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,14})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_READ_AS: dict[Kind, str] = {
    "integer": "a number",
    "decimal": "a number",
    "boolean": "true or false",
    "null": "nothing",
    "text": "text",
}
_COUNTRY_REMEDY = "Write a code of ISO 3166-1 such as QA or SA."


def text(scalar: Scalar) -> str:
    """Any text, also empty. The value is in no message: passwords come through here."""
    if scalar.kind not in ("text", "variable"):
        raise Wrong(f"this is read as {_READ_AS[scalar.kind]}, and must be text", "Put it in double quotes.")
    return scalar.text


def filled(scalar: Scalar) -> str:
    """Text that is not empty."""
    value = text(scalar)
    if not value.strip():
        raise Wrong("this is empty", "Write a value, or give its variable one.")
    return value


def secret(scalar: Scalar) -> Secret:
    """Text that is shown nowhere."""
    return Secret(text(scalar))


def one_of(*options: C) -> Callable[[Scalar], C]:
    """Exactly one of these words."""

    def convert(scalar: Scalar) -> C:
        word = filled(scalar)
        for option in options:
            if word == option:
                return option
        raise Wrong(f"{_shown(scalar)} is not one of the choices", did_you_mean(word, options, _choices(options)))

    return convert


def whole(lowest: int, highest: int) -> Callable[[Scalar], int]:
    """A whole number in a range, both ends included."""
    remedy = f"Write a whole number from {lowest:,} to {highest:,}, without quotes."

    def convert(scalar: Scalar) -> int:
        if scalar.kind not in ("integer", "decimal", "variable"):
            raise Wrong(f"this is read as {_READ_AS[scalar.kind]}, and must be a whole number", remedy)
        if not _WHOLE.fullmatch(scalar.text):
            raise Wrong(f"{_shown(scalar)} is not a whole number", remedy)
        value = int(scalar.text)
        if not lowest <= value <= highest:
            raise Wrong(f"{_shown(scalar)} is out of range", remedy)
        return value

    return convert


def degrees(limit: int) -> Callable[[Scalar], float]:
    """An angle between -limit and limit."""

    def convert(scalar: Scalar) -> float:
        value = _decimal(scalar, f"Write degrees from -{limit} to {limit}, such as 25.2854.")
        if abs(value) > limit:
            raise Wrong(
                f"{_shown(scalar)} is out of range", f"Write degrees from -{limit} to {limit}; lat comes before lng."
            )
        return float(value)

    return convert


def distance(scalar: Scalar) -> Decimal:
    """Kilometres, more than 0."""
    value = _decimal(scalar, "Write kilometres, such as 5 or 7.5.")
    if value <= 0:
        raise Wrong(f"{_shown(scalar)} is no distance", "Write more than 0.")
    return value


def fee(scalar: Scalar) -> Decimal:
    """An amount of money, 0 or more, written as a number or as text so that its decimals stay."""
    value = _decimal(scalar, 'Write an amount such as "10.00".', text_too=True)
    if value < 0:
        raise Wrong(f"{_shown(scalar)} is negative", "Write 0 or more.")
    return value


def region_name(scalar: Scalar) -> RegionName:
    """The key of a region."""
    return RegionName(_name(scalar, "region", "qa"))


def shard_name(scalar: Scalar) -> ShardName:
    """The key of a shard."""
    return ShardName(_name(scalar, "shard", "qa-1"))


def language(scalar: Scalar) -> str:
    """A language tag (BCP 47, the common part)."""
    if len(scalar.text) > NAME_CHARS_MAX or not re.fullmatch(LANGUAGE_SHAPE, scalar.text):
        raise Wrong(f"{_shown(scalar)} is not a language", "Write a language tag such as en, ar or pt-BR.")
    return scalar.text


def country(scalar: Scalar) -> str:
    """A country that exists, by its ISO 3166-1 alpha-2 code. Plain `NO` is Norway, as YAML 1.2 has it."""
    if scalar.kind == "boolean":
        remedy = 'If Norway was meant, write "NO" in quotes: some tool took NO for a boolean.'
        raise Wrong(f"{_shown(scalar)} is a boolean, not a country", remedy)
    code = filled(scalar)
    if code not in countries_by_alpha2:
        raise Wrong(f"{_shown(scalar)} is not a country", _country_remedy(code))
    return code


def currency(scalar: Scalar) -> str:
    """A currency in use, by its ISO 4217 code."""
    code = filled(scalar)
    if code not in MINOR_UNITS:
        remedy = did_you_mean(code.upper(), MINOR_UNITS, "Write a code of ISO 4217 such as QAR or SAR.")
        raise Wrong(f"{_shown(scalar)} is not a currency", remedy)
    return code


def time_zone(scalar: Scalar) -> str:
    """A time zone of the IANA database."""
    name = filled(scalar)
    if name not in _time_zones():
        raise Wrong(
            f"{_shown(scalar)} is not a time zone", did_you_mean(name, _time_zones(), "Write one like Asia/Qatar.")
        )
    return name


def order_prefix(scalar: Scalar) -> str:
    """The letters in front of a region's order numbers."""
    prefix = filled(scalar)
    if not re.fullmatch(ORDER_PREFIX_SHAPE, prefix):
        raise Wrong(f"{_shown(scalar)} is not an order prefix", "Write 1 to 6 capital letters, such as QA.")
    return prefix


def address(scalar: Scalar) -> Address:
    """`host:port`, the host a name, an IPv4 address or an IPv6 address in brackets."""
    found = optional_address(scalar)
    if found is None:
        raise Wrong("there is no server here", ADDRESS_EXAMPLE)
    return found


def optional_address(scalar: Scalar) -> Address | None:
    """An address, or None for empty text (a variable that was given no value)."""
    written = text(scalar)
    if not written:
        return None
    if any(mark in written for mark in ("://", "@", "?")):
        # Not shown: a whole postgres:// URL with its password may have been pasted here.
        raise Wrong("this is a URL, not an address", f"{ADDRESS_EXAMPLE} The login has keys of its own.")
    host, colon, port = written.rpartition(":")
    if not colon or not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise Wrong(f"{_shown(scalar)} has no port from 1 to 65535", ADDRESS_EXAMPLE)
    return Address(_host(host, scalar), int(port))


def redis_url(scalar: Scalar) -> Secret | None:
    """The URL of a Redis server, or None for empty text. It may hold a password, so no message shows it."""
    url = text(scalar)
    if not url:
        return None
    _check_url(url, REDIS_SCHEMES, "redis://host:6379 or rediss://host:6379")
    return Secret(url)


def http_url(scalar: Scalar) -> str | None:
    """The http or https URL of a service, or None for empty text."""
    url = text(scalar)
    if url:
        _check_url(url, ("https", "http"), "https://storage.example.com")
    return url or None


def gateway_url(scalar: Scalar) -> str | None:
    """The place of a region's gateways as scheme, host and port, in small letters; None for empty text."""
    url = text(scalar)
    if not url:
        return None
    _check_url(url, ("https", "http"), GATEWAY_EXAMPLE)
    parts = urlsplit(url)
    if parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment or set(url) & {"?", "#"}:
        # Not shown: a login may stand in it.
        raise Wrong("the URL has more than a scheme, a host and a port", f"Write {GATEWAY_EXAMPLE}.")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def optional_text(scalar: Scalar) -> str | None:
    """Text, or None if it is empty."""
    return text(scalar) or None


def storage_kind(scalar: Scalar) -> Literal["S3", "Azure", "Local"] | None:
    """The kind of a file store, or None for empty text."""
    one_kind: Callable[[Scalar], Literal["S3", "Azure", "Local"]] = one_of("S3", "Azure", "Local")
    return one_kind(scalar) if text(scalar) else None


def _shown(scalar: Scalar) -> str:
    """How a message may speak of a value: the names of its variables, never what came out of them."""
    if scalar.kind == "variable":
        return f"the value of {scalar.variables}"
    return show(scalar.text) if scalar.kind == "text" else show(scalar.text).strip("'")


def _name(scalar: Scalar, what: str, example: str) -> str:
    if len(scalar.text) > NAME_CHARS_MAX or not re.fullmatch(NAME_SHAPE, scalar.text):
        remedy = f"Use small letters, digits and single dashes, at most {NAME_CHARS_MAX}, such as {example}."
        raise Wrong(f"{_shown(scalar)} is not a name for a {what}", remedy)
    return scalar.text


def _choices(options: tuple[str, ...]) -> str:
    return f"Write {' or '.join(options)}."


def _decimal(scalar: Scalar, remedy: str, *, text_too: bool = False) -> Decimal:
    if scalar.kind not in ("integer", "decimal", "variable") and not (text_too and scalar.kind == "text"):
        raise Wrong(f"this is read as {_READ_AS[scalar.kind]}, and must be a number", remedy)
    if not _DECIMAL.fullmatch(scalar.text):
        raise Wrong(f"{_shown(scalar)} is not a plain decimal number", remedy)
    return Decimal(scalar.text)


def _country_remedy(code: str) -> str:
    if code.upper() == "UK":
        return "Write GB."
    if code.upper() in ("NO", "NORWAY"):
        return "Write NO, in capitals: here it is text (YAML 1.2), not a boolean."
    found = countries.get(code, None)
    return f"Write {found.alpha2}." if found else _COUNTRY_REMEDY


def _host(written: str, scalar: Scalar) -> str:
    if written.startswith("[") and written.endswith("]"):
        return _ipv6(written[1:-1], scalar)
    if ":" in written:
        raise Wrong(f"{_shown(scalar)} has a host with colons", "Put an IPv6 address in brackets: [::1]:5432.")
    host = written.lower()
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise Wrong(f"{_shown(scalar)} does not begin with a host", ADDRESS_EXAMPLE)
    if labels[-1].isdigit() and not _is_ipv4(labels):
        raise Wrong(f"{_shown(scalar)} is not an IPv4 address and a port", ADDRESS_EXAMPLE)
    return host


def _ipv6(written: str, scalar: Scalar) -> str:
    try:
        return str(IPv6Address(written))
    except ValueError:
        raise Wrong(f"{_shown(scalar)} is not an IPv6 address and a port", ADDRESS_EXAMPLE) from None


def _is_ipv4(labels: list[str]) -> bool:
    return len(labels) == 4 and all(re.fullmatch(r"0|[1-9][0-9]{0,2}", each) and int(each) <= 255 for each in labels)


def _check_url(url: str, schemes: tuple[str, ...], example: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Wrong("this is not a URL with a valid host and port", f"Write {example}.") from None
    if parts.scheme not in schemes:
        raise Wrong(f"the URL does not begin with {' or '.join(f'{each}://' for each in schemes)}", f"Write {example}.")
    if not host:
        raise Wrong("the URL has no host", f"Write {example}.")


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())

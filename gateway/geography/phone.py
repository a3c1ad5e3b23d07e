"""Phone numbers by libphonenumber: the country they belong to, their E.164 form, and which of them a region accepts."""

from dataclasses import dataclass, field
from typing import NoReturn

from phonenumbers import (
    NumberParseException,
    PhoneMetadata,
    PhoneNumber,
    PhoneNumberFormat,
    ValidationResult,
    country_code_for_region,
    format_number,
    is_possible_number_with_reason,
    is_valid_number,
    parse,
    region_code_for_number,
)

from core.errors import FieldError, Invalid
from core.shard_map.model import RegionSpec

_NO_COUNTRY = "001"  # libphonenumber's region of numbers that belong to no country, e.g. +800

_IMPOSSIBLE = {
    ValidationResult.TOO_SHORT: "is too short for a phone number",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "is too short for a phone number",
    ValidationResult.TOO_LONG: "is too long for a phone number",
    ValidationResult.INVALID_LENGTH: "has the wrong number of digits",
    ValidationResult.INVALID_COUNTRY_CODE: "has an unknown country code",
}


@dataclass(frozen=True, slots=True)
class Phone:
    """A valid number: its E.164 form (kept out of the repr) and its country, None for one that belongs to none."""

    e164: str = field(repr=False)
    country: str | None


@dataclass(frozen=True, slots=True)
class PhoneOrigin:
    """What an unchecked number shows by itself: its calling code and its country, where it has them."""

    calling_code: int | None
    country: str | None


def warm_up() -> None:
    """Load libphonenumber's data of all countries now (0.1 s, once), so that no request ever reads a file for it."""
    PhoneMetadata.load_all()


def origin_of_phone(raw: str) -> PhoneOrigin:
    """Where a number comes from by its own digits; nothing for a number written without its country code.

    A leading `00` counts as `+`, as ITU-T E.164 recommends and the Gulf dials. The number need not be valid.
    """
    number = _parsed(raw) or _parsed(_with_plus(raw))
    if number is None:
        return PhoneOrigin(None, None)
    return PhoneOrigin(number.country_code, _country(number))


def parse_phone(raw: str, country: str | None) -> Phone:
    """Read a number, completed by `country` if it has no country code; digits of any script are read.

    Raises Invalid for `phone_number` unless the number is possible and valid. No message repeats the number.
    """
    try:
        number = parse(raw, country)
    except NumberParseException as exc:
        needs_code = country is None and exc.error_type == NumberParseException.INVALID_COUNTRY_CODE
        _refuse("needs its country code, as in +974…" if needs_code else "is not a phone number")
    if number.extension:
        _refuse("must not have an extension")
    possible = is_possible_number_with_reason(number)
    if possible != ValidationResult.IS_POSSIBLE:
        _refuse(_IMPOSSIBLE[possible])
    if not is_valid_number(number):
        _refuse(f"is not a valid number under +{number.country_code}")
    return Phone(format_number(number, PhoneNumberFormat.E164), _country(number))


def phone_for_region(raw: str, region: RegionSpec) -> Phone:
    """Read a number by the region's phone rule. Raises Invalid as `parse_phone` and `check_accepted` do."""
    phone = parse_phone(raw, region.phone.country)
    check_accepted(phone, region)
    return phone


def check_accepted(phone: Phone, region: RegionSpec) -> None:
    """Raise Invalid, naming the accepted countries, where the region takes only its own numbers and this is another."""
    if region.phone.accept == "region" and phone.country not in region.countries:
        _refuse(f"must be a number of {', '.join(map(_described, region.countries))}")


def _parsed(raw: str) -> PhoneNumber | None:
    try:
        return parse(raw, None)
    except NumberParseException:
        return None


def _with_plus(raw: str) -> str:
    text = raw.strip()
    # By value, not by character: Arabic-Indic zeros dial abroad too.
    is_abroad = len(text) > 2 and all(digit.isdecimal() and int(digit) == 0 for digit in text[:2])
    return f"+{text[2:]}" if is_abroad else ""


def _country(number: PhoneNumber) -> str | None:
    region = region_code_for_number(number)
    return None if region == _NO_COUNTRY else region


def _described(country: str) -> str:
    calling_code = country_code_for_region(country)
    return f"{country} (+{calling_code})" if calling_code else country


def _refuse(message: str) -> NoReturn:
    # `from None`: nothing of the library's reading of a private number belongs in a log.
    raise Invalid([FieldError("phone_number", message)]) from None

"""Reading phone numbers, their country, and which of them a region accepts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from gateway.geography.phone import Phone, PhoneOrigin, check_accepted, origin_of_phone, parse_phone, phone_for_region


def fault(error: pytest.ExceptionInfo[Invalid]) -> str:
    (only,) = error.value.fields
    assert only.field == "phone_number"
    return only.message


@pytest.mark.parametrize(
    ("raw", "country", "expected"),
    [
        ("+97433123456", None, Phone("+97433123456", "QA")),
        ("33123456", "QA", Phone("+97433123456", "QA")),
        (" 3312-3456 ", "QA", Phone("+97433123456", "QA")),
        ("00966501234567", "QA", Phone("+966501234567", "SA")),
        ("0501234567", "SA", Phone("+966501234567", "SA")),
        ("٣٣١٢٣٤٥٦", "QA", Phone("+97433123456", "QA")),
        ("+٩٦٦ ٥٠ ١٢٣ ٤٥٦٧", None, Phone("+966501234567", "SA")),
        ("+97433123456", "SA", Phone("+97433123456", "QA")),
        ("+14165551234", None, Phone("+14165551234", "CA")),
        ("+12025550123", None, Phone("+12025550123", "US")),
        ("+77012345678", None, Phone("+77012345678", "KZ")),
        ("+80012345678", None, Phone("+80012345678", None)),
    ],
)
def test_a_valid_number_is_read_whole(raw: str, country: str | None, expected: Phone) -> None:
    assert parse_phone(raw, country) == expected


@pytest.mark.parametrize(
    ("raw", "country", "message"),
    [
        ("33123456", None, "needs its country code, as in +974…"),
        ("", "QA", "is not a phone number"),
        ("hello", "QA", "is not a phone number"),
        ("+999123456", "QA", "is not a phone number"),
        ("1" * 300, "QA", "is not a phone number"),
        ("+974331", None, "is too short for a phone number"),
        ("+974331234567890", None, "is too long for a phone number"),
        ("+97499999999", None, "is not a valid number under +974"),
        ("+97433123456 ext 7", None, "must not have an extension"),
    ],
)
def test_a_wrong_number_is_a_field_error_that_says_what_is_wrong(raw: str, country: str | None, message: str) -> None:
    with pytest.raises(Invalid) as error:
        parse_phone(raw, country)
    assert fault(error) == message


@given(st.text(max_size=30) | st.from_regex(r"\+?[0-9]{3,16}", fullmatch=True), st.sampled_from([None, "QA", "SA"]))
def test_any_text_is_a_number_or_a_field_error(raw: str, country: str | None) -> None:
    try:
        phone = parse_phone(raw, country)
    except Invalid:
        return
    assert parse_phone(phone.e164, None) == phone
    assert phone.e164 not in repr(phone)


@given(st.from_regex(r"\+974[0-9]{4,12}", fullmatch=True))
def test_no_refusal_repeats_the_number(raw: str) -> None:
    try:
        parse_phone(raw, "QA")
    except Invalid as error:
        told = f"{error} {error.detail} {error.fields} {error.__cause__}"
    else:
        told = ""
    assert raw[4:] not in told


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("+97433123456", PhoneOrigin(974, "QA")),
        ("0097433123456", PhoneOrigin(974, "QA")),
        ("٠٠٩٦٦٥٠١٢٣٤٥٦٧", PhoneOrigin(966, "SA")),
        ("+97433", PhoneOrigin(974, "QA")),
        ("+14165551234", PhoneOrigin(1, "CA")),
        ("+80012345678", PhoneOrigin(800, None)),
        ("0501234567", PhoneOrigin(None, None)),
        ("00", PhoneOrigin(None, None)),
    ],
)
def test_a_number_shows_its_origin_before_it_is_checked(raw: str, expected: PhoneOrigin) -> None:
    assert origin_of_phone(raw) == expected


def test_a_region_reads_national_numbers_by_its_own_rule(make_region: Any) -> None:
    assert phone_for_region("33123456", make_region("qa", 1, ("QA",))) == Phone("+97433123456", "QA")


def test_a_region_that_takes_its_own_numbers_names_them_when_it_refuses_another(make_region: Any) -> None:
    region = make_region("sa", 2, ("SA", "BH"))
    assert phone_for_region("+97336001234", region).country == "BH"
    with pytest.raises(Invalid) as error:
        phone_for_region("+97433123456", region)
    assert fault(error) == "must be a number of SA (+966), BH (+973)"


def test_a_number_of_no_country_is_refused_where_only_own_numbers_are_taken(make_region: Any) -> None:
    with pytest.raises(Invalid):
        check_accepted(Phone("+80012345678", None), make_region("qa", 1, ("QA",)))


def test_a_country_without_a_calling_code_is_named_without_one(make_region: Any) -> None:
    with pytest.raises(Invalid) as error:
        check_accepted(Phone("+97433123456", "QA"), make_region("aq", 4, ("AQ",)))
    assert fault(error) == "must be a number of AQ"


@pytest.mark.parametrize("phone", [Phone("+97433123456", "QA"), Phone("+80012345678", None)])
def test_a_region_that_takes_any_number_takes_all(make_region: Any, phone: Phone) -> None:
    check_accepted(phone, make_region("sa", 2, ("SA",), "any"))

"""What the models of any service are made of: bodies and resources, and texts with the rule a client is told."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
_SHOWS_SOMETHING = Field(json_schema_extra={"pattern": r"[^\s\x85]"})  # U+0085 is stripped, but no space to JavaScript
_LOOKS_LIKE_EMAIL = Field(json_schema_extra={"pattern": rf"^\s*{_EMAIL.pattern}\s*$"})


def _printable(text: str) -> str:
    if _UNPRINTABLE.search(text):
        raise ValueError("must not have control characters")
    return text


def _one_line(text: str) -> str:
    if "\n" in text or "\t" in text:
        raise ValueError("must be one line, without tabs")
    return _printable(text)


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError("must be an email address")
    return text


def _text(longest: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=longest)


Label = Annotated[str, _text(60), AfterValidator(_one_line), _SHOWS_SOMETHING]
Name = Annotated[str, _text(120), AfterValidator(_one_line), _SHOWS_SOMETHING]
Note = Annotated[str, _text(500), AfterValidator(_printable), _SHOWS_SOMETHING]
Prose = Annotated[str, _text(1000), AfterValidator(_printable), _SHOWS_SOMETHING]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(_printable),
    AfterValidator(_email),
    _LOOKS_LIKE_EMAIL,
]

UNSET: Final[Any] = None
"""The default of a PATCH's field that may be left out but not be null; `Input.given` leaves it out too."""


class Input(BaseModel):
    """A body or query that a client sends: unknown fields are refused, so that a misspelt one is never silently lost.

    A body's values have the type that the document says: no `"yes"` for true, no `false` for 0. A query's are text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """The fields that were sent, for a PATCH."""
        return self.model_dump(exclude_unset=True)


class Output(BaseModel):
    """A resource as a client reads it; columns that are not fields stay inside."""

    # A row that does not fit is a fault that is logged, and it may hold a phone number or a payment's secret.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

"""The types of fields that several resources share, each with the rule that a client is told when it is broken."""

import re
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


def _vin(text: str) -> str:
    text = text.upper()
    if not _VIN.fullmatch(text):
        raise ValueError("must be 17 letters and digits, without I, O and Q")
    return text


def distinct(ids: list[UUID]) -> list[UUID]:
    """A list of ids that names none twice."""
    if len(set(ids)) < len(ids):
        raise ValueError("must not name an upload twice")
    return ids


Vin = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    AfterValidator(_vin),
    Field(examples=["JTMHY7AJ4K4012345"], json_schema_extra={"pattern": r"^\s*[A-HJ-NPR-Za-hj-npr-z0-9]{17}\s*$"}),
]
Year = Annotated[int, Field(ge=1900, le=2100, examples=[2020])]
OrderNumber = Annotated[str, Field(description="The order's, as people read it.", examples=["QA-2611-000123"])]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]

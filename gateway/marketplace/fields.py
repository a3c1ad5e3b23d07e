"""The types of fields that several resources share, each with the rule that a client is told when it is broken."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


def _vin(text: str) -> str:
    text = text.upper()
    if not _VIN.fullmatch(text):
        raise ValueError("must be 17 letters and digits, without I, O and Q")
    return text


Vin = Annotated[
    str, StringConstraints(strip_whitespace=True), AfterValidator(_vin), Field(examples=["JTMHY7AJ4K4012345"])
]
Year = Annotated[int, Field(ge=1900, le=2100, examples=[2020])]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]

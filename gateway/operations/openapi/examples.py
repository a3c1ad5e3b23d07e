"""What common fields look like to somebody in Doha, for fields whose model gives no example of its own."""

from collections.abc import Mapping
from typing import Final

FIELD_EXAMPLES: Final[Mapping[str, object]] = {
    "full_name": "Noora Al-Thani",
    "phone_number": "+974 3312 3456",
    "phone": "+974 3312 3456",
    "email": "noora@example.qa",
    "password": "pearl-diver-1974",
    "current_password": "pearl-diver-1974",
    "new_password": "falcon-over-dukhan",
    "lat": 25.2854,
    "lng": 51.531,
    "country": "QA",
    "currency": "QAR",
    "region": "qa",
    "shard": "qa-1",
    "access_token": "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ...",
    "refresh_token": "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ...",
    "expires_in": 900,
    "id": "01a207d9-2100-7555-806b-1c9d4e7a35f0",
    "next": "WyJvd24iLCIwMTkyZjRjOCJd.c2lnbmVk",
    "created_at": "2026-11-23T10:00:00Z",
    "updated_at": "2026-11-23T10:00:00Z",
    "expires_at": "2026-11-24T10:00:00Z",
}
"""Field name -> example. A service's own words belong to its models: `Field(examples=[...])`."""

"""Who people are to the marketplace."""

from typing import Final, Literal

CUSTOMER: Final = "customer"
GARAGE: Final = "garage"
DRIVER: Final = "driver"
STAFF: Final = "staff"
ADMIN: Final = "admin"

Role = Literal["customer", "garage", "driver", "staff", "admin"]

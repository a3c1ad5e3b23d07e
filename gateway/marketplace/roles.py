"""Who people are to the marketplace."""

from typing import Final

CUSTOMER: Final = "customer"
GARAGE: Final = "garage"
DRIVER: Final = "driver"
STAFF: Final = "staff"
ADMIN: Final = "admin"

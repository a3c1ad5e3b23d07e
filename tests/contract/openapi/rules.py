"""Rules that JSON Schema cannot say: what may be refused although it fits the document. Nothing else may be."""

from typing import Final

EVERYWHERE: Final = (
    r"is (not a|too (short|long) for a) phone number",
    r"should be a valid integer",  # a whole number with a fraction: 2020.0
    r"must be more than 0 and at most 1000000",
    r"^[A-Z]{3} has [0-9] decimals$",
    r"must be uploads of your own",
    r"must not name an upload twice",
    r"must not have control characters",
    r"must be one line, without tabs",
)
"""Patterns of the messages of such a refusal, whatever the operation."""

BEYOND_SCHEMA: Final[dict[str, tuple[str, ...]]] = {
    "route_route": (r"ask about one thing at a time",),
    "auth_register": (r"is needed for the role garage, and only there",),
    "me_change": (r"only garages have one",),
    "uploads_create": (r"the file is empty", r"is not an image \(JPEG, PNG, WebP\) or a PDF"),
    "uploads_content": (r"the range begins after them",),
    **{
        f"reports_{name}": (r"must not be before from", r"at most 366 days")
        for name in ("orders", "revenue", "disputes", "deliveries", "garages")
    },
    "notifications_mark_read": (r"name `ids`, or say `all: true`",),
}
"""Operation -> patterns of the messages that say which rule was broken."""

"""What an uploaded file is, by its first bytes: its name and the type that its sender claims prove nothing."""

from typing import Final

HEAD_BYTES: Final = 12
"""How many of the first bytes decide."""


def media_type_of(head: bytes) -> str | None:
    """The media type of a file that begins with `head` (HEAD_BYTES of it, or all there is); None if not one we keep.

    Signatures: JPEG FF D8 FF (ITU-T T.81, B.2), PNG (RFC 2083, 3.1), WebP `RIFF....WEBP` (RFC 9649, 2.4), PDF `%PDF-`
    (ISO 32000-1, 7.5.2).
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    return None

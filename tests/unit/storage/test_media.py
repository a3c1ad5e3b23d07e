"""What a file is, by its first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.storage.media import HEAD_BYTES, media_type_of

HEADS = {
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/webp": b"RIFF\x00\x01\x02\x03WEBP",
    "application/pdf": b"%PDF-1.7",
}


@pytest.mark.parametrize(("media_type", "head"), HEADS.items())
def test_the_kinds_we_keep_are_known(media_type: str, head: bytes) -> None:
    assert media_type_of(head.ljust(HEAD_BYTES, b"x")) == media_type
    assert media_type_of(head[:-1]) is None or media_type == "image/jpeg" or media_type == "application/pdf"


@pytest.mark.parametrize(
    "head",
    [
        b"<html>",
        b"<svg xmlns",
        b"PK\x03\x04",
        b"MZ",
        b"\x7fELF",
        b"#!/bin/sh",
        b"GIF89a",
        b"RIFF\0\0\0\0WAVE",
        b" %PDF-",
        b"",
    ],
)
def test_nothing_else_is(head: bytes) -> None:
    assert media_type_of(head.ljust(HEAD_BYTES, b" ")) is None


@given(st.binary(max_size=HEAD_BYTES))
def test_no_bytes_are_two_kinds(head: bytes) -> None:
    assert media_type_of(head) in {None, *HEADS}

"""Names of files: what is left of a client's, and how a browser is told."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from core.storage.rows import StoredFile
from core.storage.store import Contents
from gateway.operations.downloads import disposition
from gateway.operations.uploads import NAME_CHARS_MAX, clean_name


def shown(name: str | None, media_type: str = "image/png") -> str:
    contents = Contents(1, bytes(32), media_type)
    return disposition(StoredFile(UUID(int=1), UUID(int=2), name, contents, "stored", None, None, datetime.now(UTC)))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (None, None),
        ("", None),
        (".", None),
        ("..", None),
        ("...", None),
        ("a/", None),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\Users\\Aisha/car.png", "car.png"),
        (".bashrc", "bashrc"),
        (" a b.png ", "a b.png"),
        ("a\x00\x1b[31m\r\nSet-Cookie: b.png", "a[31mSet-Cookie: b.png"),
        ("a\u2028b\u2029c\ufeff.png", "abc.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("caf\udce9.png", "caf.png"),
        ("سيارة.png", "سيارة.png"),
        ("می\u200cروم.png", "می\u200cروم.png"),
        ("👩\u200d🔧.png", "👩\u200d🔧.png"),
        ("x" * 500 + ".png", "x" * (NAME_CHARS_MAX - 4) + ".png"),
        ("a" + " " * 200 + ".png", ".png"),
    ],
)
def test_of_a_name_is_kept_what_can_be_seen_and_is_no_path(sent: str | None, kept: str | None) -> None:
    assert clean_name(sent) == kept


def test_a_name_is_told_in_both_forms() -> None:
    assert shown("mirror.png") == "inline; filename=\"mirror.png\"; filename*=UTF-8''mirror.png"
    assert shown('a"b\\%41.png') == "inline; filename=\"a_b__41.png\"; filename*=UTF-8''a%22b%5C%2541.png"
    assert shown("é.png") == "inline; filename=\"_.png\"; filename*=UTF-8''%C3%A9.png"
    assert shown(None) == "inline"


@pytest.mark.parametrize(
    ("name", "media_type", "saved"),
    [
        ("a.JPG", "image/jpeg", "a.JPG"),
        ("a.jpeg", "image/jpeg", "a.jpeg"),
        ("a", "image/webp", "a.webp"),
        ("run.exe", "image/jpeg", "run.exe.jpg"),
        ("page.pdf.html", "application/pdf", "page.pdf.html.pdf"),
        ("a.png", "application/pdf", "a.png.pdf"),
    ],
)
def test_a_name_ends_as_its_type_does(name: str, media_type: str, saved: str) -> None:
    assert f'filename="{saved}"' in shown(name, media_type)


def test_a_pdf_is_saved_and_not_opened_here() -> None:
    assert shown("a.pdf", "application/pdf").startswith("attachment;")

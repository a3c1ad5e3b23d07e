"""Uploads and downloads: what is kept is what was sent, by its owner alone, and never what a browser would run."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientError, MultipartWriter

from core.limits import FILE_BYTES_MAX
from tests.integration.http.asking import (
    REQUEST,
    Json,
    is_problem,
    made,
    new_person,
    photo,
    region_of,
)
from tests.integration.http.trade import hired
from tests.servers.s3 import S3Server
from tests.system import Answer, Client, Person, Phones, System, until

PNG, JPEG, PDF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"%PDF-1.7"
WEBP = b"RIFF\x00\x00\x00\x00WEBP"
DATA = PNG + bytes(range(92))


async def send(client: Client, person: Person, data: bytes, name: str = "part.png", **more: Any) -> Answer:
    return await client.call("POST", "/uploads", user=person, data=photo(data, name), **more)


async def upload(client: Client, person: Person, data: bytes = DATA, name: str = "part.png") -> Json:
    answer = await send(client, person, data, name)
    assert answer.status == 201, answer
    return cast("Json", answer.json)


async def get(client: Client, person: Person, id: str, **headers: str) -> Answer:
    return await client.call(
        "GET", f"/uploads/{id}", user=person, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


@pytest.fixture(params=["qa-1", "sa-1", "sa-2"])
async def person(request: pytest.FixtureRequest, gateway: Client, phones: Phones) -> Person:
    return await new_person(gateway, phones, request.param)


@pytest.fixture
async def customer(gateway: Client, phones: Phones) -> Person:
    return await new_person(gateway, phones, "qa-1")


def spooled(client: Client, person: Person) -> list[Path]:
    """The files in the spool of a person's region, received or half received."""
    spool = region_of(client, person).storage.spool
    return [*spool._incoming.iterdir(), *spool._waiting.iterdir()]


async def test_an_upload_comes_back_as_it_was_sent(gateway: Client, person: Person) -> None:
    made = await upload(gateway, person, DATA, "left mirror.png")
    assert (made["name"], made["media_type"], made["size"]) == ("left mirror.png", "image/png", len(DATA))
    assert made["sha256"] == hashlib.sha256(DATA).hexdigest()
    answer = await get(gateway, person, made["id"])
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Content-Disposition"].startswith('inline; filename="left mirror.png"')
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Accept-Ranges"] == "bytes"
    for header in ("X-Request-Id", "Meridian-Route", "Consistency-Token"):
        assert answer.headers[header], "a streamed answer carries what every answer does"
    head = await gateway.call("HEAD", f"/uploads/{made['id']}", user=person)
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(DATA)), b"")


@pytest.mark.parametrize(
    ("head", "media_type", "shown"),
    [
        (PNG, "image/png", "inline"),
        (JPEG, "image/jpeg", "inline"),
        (WEBP, "image/webp", "inline"),
        (PDF, "application/pdf", "attachment"),
    ],
)
async def test_the_type_is_what_the_bytes_say(
    gateway: Client, customer: Person, head: bytes, media_type: str, shown: str
) -> None:
    made = await upload(gateway, customer, head + b"body of it", "whatever.exe")
    answer = await get(gateway, customer, made["id"])
    assert (made["media_type"], answer.headers["Content-Type"]) == (media_type, media_type)
    assert answer.headers["Content-Disposition"].startswith(shown)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"<html><script>alert(1)</script></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"PK\x03\x04zip",
        b"MZ\x90",
    ],
)
async def test_what_is_no_photo_and_no_document_is_refused_whatever_its_name(
    gateway: Client, customer: Person, data: bytes
) -> None:
    is_problem(await send(gateway, customer, data, "photo.png"), 415, "unsupported_media")
    assert spooled(gateway, customer) == []


async def test_sizes_at_the_bound(gateway: Client, customer: Person) -> None:
    made = await upload(gateway, customer, PNG.ljust(FILE_BYTES_MAX, b"x"))
    assert made["size"] == FILE_BYTES_MAX
    is_problem(await send(gateway, customer, PNG.ljust(FILE_BYTES_MAX + 1, b"x")), 413, "too_large")
    assert spooled(gateway, customer) == []


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\a\\car.png", "car.png"),
        ("..", None),
        ("سيارة.png", "سيارة.png"),
        ("x" * 300 + ".png", "x" * 116 + ".png"),
    ],
)
async def test_file_names_are_names_and_no_paths(
    gateway: Client, customer: Person, sent: str, shown: str | None
) -> None:
    body = MultipartWriter("form-data")
    part = body.append(DATA)
    part.set_content_disposition("form-data", quote_fields=False, name="file", filename=sent)
    answer = await gateway.call("POST", "/uploads", user=customer, data=body)
    assert (answer.status, answer.json["name"]) == (201, shown)
    if shown:
        disposition = (await get(gateway, customer, answer.json["id"])).headers["Content-Disposition"]
        assert "\n" not in disposition
        assert disposition.isascii()


async def test_a_body_that_is_not_one_file_is_told_what_is_wrong(gateway: Client, customer: Person) -> None:
    async def post(**more: Any) -> Answer:
        return await gateway.call("POST", "/uploads", user=customer, **more)

    is_problem(await post(json={"file": "x"}), 415, "unsupported_media")
    is_problem(await post(data=photo(DATA, field="photo")), 422, "invalid", "file")
    two = photo(DATA)
    two.add_field("more", "x")
    is_problem(await post(data=two), 422, "invalid", "more")
    multipart = {"Content-Type": "multipart/form-data; boundary=xyz"}
    is_problem(
        await post(data=b'--xyz\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + DATA, headers=multipart),
        400,
        "malformed",
    )
    is_problem(await post(data=b"nothing of the kind", headers=multipart), 400, "malformed")
    is_problem(await post(data=b"", headers={"Content-Type": "multipart/form-data"}), 400, "malformed")
    is_problem(await gateway.call("POST", "/uploads", data=photo(DATA)), 401, "unauthenticated")
    assert spooled(gateway, customer) == []


async def slowly(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0.05)
    await asyncio.Event().wait()


HALF = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + DATA
MULTIPART = {"Content-Type": "multipart/form-data; boundary=xyz"}


async def test_a_sender_who_trickles_is_cut_at_their_deadline_and_leaves_nothing(
    gateway: Client, customer: Person
) -> None:
    headers = {**MULTIPART, "X-Request-Timeout": "0.5"}
    answer = await gateway.call("POST", "/uploads", user=customer, data=slowly(HALF), headers=headers)
    is_problem(answer, 504, "deadline")
    assert spooled(gateway, customer) == []


async def test_a_sender_who_disappears_leaves_nothing(gateway: Client, customer: Person) -> None:
    sending = asyncio.create_task(gateway.call("POST", "/uploads", user=customer, data=slowly(HALF), headers=MULTIPART))

    async def half_there() -> bool:
        return bool(spooled(gateway, customer))

    async def gone() -> bool:
        return not spooled(gateway, customer)

    await until(half_there, what="the upload has begun")
    sending.cancel()
    await asyncio.wait([sending])
    await until(gone, what="nothing is left of it")


RANGES: list[tuple[str, int, int, int]] = [
    ("bytes=0-9", 206, 0, 9),
    ("bytes=90-", 206, 90, 99),
    ("bytes=-5", 206, 95, 99),
    ("bytes=0-1000", 206, 0, 99),
    ("bytes=99-99", 206, 99, 99),
    ("bytes=-1000", 206, 0, 99),
    ("bytes=0-1,5-6", 200, 0, 99),
    ("bytes=5-1", 200, 0, 99),
    ("bytes=x-", 200, 0, 99),
    ("lines=0-1", 200, 0, 99),
    ("bytes=-", 200, 0, 99),
    ("bytes=100-", 416, 0, 0),
    ("bytes=-0", 416, 0, 0),
    ("bytes=999-1000", 416, 0, 0),
]


@pytest.mark.parametrize(("asked", "status", "first", "last"), RANGES)
async def test_ranges(gateway: Client, customer: Person, asked: str, status: int, first: int, last: int) -> None:
    made = await upload(gateway, customer)
    answer = await get(gateway, customer, made["id"], Range=asked)
    assert answer.status == status
    if status == 416:
        is_problem(answer, 416, "range_not_satisfiable")
        assert answer.headers["Content-Range"] == "bytes */100"
        return
    assert answer.body == DATA[first : last + 1]
    assert answer.headers.get("Content-Range") == (f"bytes {first}-{last}/100" if status == 206 else None)


async def test_conditions(gateway: Client, customer: Person) -> None:
    made = await upload(gateway, customer)
    whole = await get(gateway, customer, made["id"])
    etag, modified = whole.headers["ETag"], whole.headers["Last-Modified"]
    for held in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = await get(gateway, customer, made["id"], If_None_Match=held)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)
    assert (await get(gateway, customer, made["id"], If_None_Match='"x"', If_Modified_Since=modified)).status == 200
    assert (await get(gateway, customer, made["id"], If_Modified_Since=modified)).status == 304
    assert (await get(gateway, customer, made["id"], If_Modified_Since="yesterday")).status == 200
    for condition, status in ((etag, 206), (modified, 206), ('"x"', 200), (f"W/{etag}", 200)):
        assert (await get(gateway, customer, made["id"], Range="bytes=0-0", If_Range=condition)).status == status


async def test_files_of_others_are_not_there(gateway: Client, phones: Phones, customer: Person) -> None:
    made = await upload(gateway, customer)
    for shard in ("qa-1", "sa-1"):
        stranger = await new_person(gateway, phones, shard)
        is_problem(await get(gateway, stranger, made["id"]), 404, "not_found")
        answer = await gateway.call("DELETE", f"/uploads/{made['id']}", user=stranger)
        is_problem(answer, 404, "not_found")
    assert (await get(gateway, customer, made["id"])).status == 200


async def test_deleted_is_gone_at_once(gateway: Client, person: Person) -> None:
    made = await upload(gateway, person)
    assert (await gateway.call("DELETE", f"/uploads/{made['id']}", user=person)).status == 204
    is_problem(await get(gateway, person, made["id"]), 404, "not_found")
    is_problem(await gateway.call("DELETE", f"/uploads/{made['id']}", user=person), 404, "not_found")


async def test_the_same_file_with_the_same_key_is_one_upload(gateway: Client, person: Person) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    answers = await asyncio.gather(*(send(gateway, person, DATA, headers=key) for _ in range(3)))
    answers.append(await send(gateway, person, DATA, headers=key))
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.json["id"] for answer in answers if answer.status == 201}) == 1
    assert answers[-1].headers["Idempotent-Replayed"] == "true"
    assert (await get(gateway, person, answers[-1].json["id"])).body == DATA
    is_problem(await send(gateway, person, DATA + b"other", headers=key), 422, "invalid", "Idempotency-Key")

    async def empty() -> bool:
        return not spooled(gateway, person)

    await until(empty, what="copies that were not needed are gone")


async def test_requests_take_the_customers_own_uploads_once(
    gateway: Client, phones: Phones, customer: Person, system: System
) -> None:
    images = [(await upload(gateway, customer))["id"] for _ in range(2)]
    request = await made(gateway, customer, "/requests", {**REQUEST, "images": images})
    assert request["images"] == images
    is_problem(await gateway.call("DELETE", f"/uploads/{images[0]}", user=customer), 409, "conflict")

    other = await new_person(gateway, phones, "qa-1")
    theirs = (await upload(gateway, other))["id"]
    fresh, gone = [(await upload(gateway, customer))["id"] for _ in range(2)]
    await gateway.call("DELETE", f"/uploads/{gone}", user=customer)
    for wrong in (images[0], theirs, gone, str(uuid4()), customer.id):
        answer = await gateway.call("POST", "/requests", user=customer, json={**REQUEST, "images": [fresh, wrong]})
        is_problem(answer, 422, "invalid", "images")
    async with system.sql("qa-1") as sql:
        used_by = await sql.fetchval("SELECT used_by FROM meridian.file WHERE id = $1", UUID(fresh))
    assert used_by is None, "a request that was refused took nothing"
    assert (await made(gateway, customer, "/requests", {**REQUEST, "images": [fresh]}))["images"] == [fresh]


async def test_a_store_that_breaks_off_never_looks_like_a_whole_file(
    gateway: Client, customer: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await upload(gateway, customer, PNG.ljust(1_000_000, b"x"))
    files = region_of(gateway, customer).files

    async def settled() -> bool:
        return not spooled(gateway, customer)

    await until(settled)
    stored = files._storage._store._path(f"qa/{made['id']}")  # type: ignore[attr-defined]
    stored.write_bytes(stored.read_bytes()[:300_000])
    with pytest.raises(ClientError):
        await get(gateway, customer, made["id"])


async def test_staff_see_what_customers_of_their_region_have_sent_and_do_not_delete_it(
    gateway: Client, phones: Phones, customer: Person, system: System
) -> None:
    made = await upload(gateway, customer)
    staff, others = [await hired(gateway, system, phones, where, "staff") for where in ("qa-1", "sa-1")]
    await system.replicated("qa-1")
    assert (await get(gateway, staff, made["id"])).body == DATA
    is_problem(await get(gateway, others, made["id"]), 404, "not_found")
    is_problem(await gateway.call("DELETE", f"/uploads/{made['id']}", user=staff), 404, "not_found")


async def test_of_taking_a_file_and_deleting_it_one_wins(gateway: Client, customer: Person) -> None:
    for _ in range(5):
        id = (await upload(gateway, customer))["id"]
        body = {**REQUEST, "images": [id]}
        taken, deleted = await asyncio.gather(
            gateway.call("POST", "/requests", user=customer, json=body),
            gateway.call("DELETE", f"/uploads/{id}", user=customer),
        )
        assert (taken.status, deleted.status) in ((201, 409), (422, 204))
        assert (await get(gateway, customer, id)).status == (200 if taken.status == 201 else 404)


async def test_of_many_requests_that_take_one_file_one_gets_it(gateway: Client, customer: Person) -> None:
    ids = [(await upload(gateway, customer))["id"] for _ in range(3)]
    bodies = [{**REQUEST, "images": ids if n % 2 else ids[::-1]} for n in range(6)]
    answers = await asyncio.gather(*(gateway.call("POST", "/requests", user=customer, json=body) for body in bodies))
    assert sorted(answer.status for answer in answers)[0] == 201
    for refused in [answer for answer in answers if answer.status != 201]:
        assert refused.json["code"] in ("invalid", "conflict"), refused
    assert len([answer for answer in answers if answer.status == 201]) == 1


async def test_where_the_store_is_open_to_clients_they_are_sent_there(
    system: System, gateway: Client, customer: Person, tmp_path: Path
) -> None:
    async with (
        S3Server(tmp_path / "s3") as s3,
        system.gateway(None, UPLOAD_FOLDER=str(tmp_path / "uploads"), **s3.variables) as client,
    ):
        made = await upload(client, customer, DATA, "left mirror.png")
        path = f"/uploads/{made['id']}"
        moved = await client.call("GET", path, user=customer, allow_redirects=False)
        assert (moved.status, moved.headers["Cache-Control"], moved.body) == (307, "no-store", b"")
        assert moved.headers["Location"].startswith(s3.endpoint)
        async with client.session.get(moved.headers["Location"]) as found:
            assert (found.status, await found.read(), found.content_type) == (200, DATA, "image/png")
        head = await client.call("HEAD", path, user=customer)
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(DATA)))
        held = await get(client, customer, made["id"], If_None_Match=head.headers["ETag"])
        assert held.status == 304

        await s3.kill()

        async def answered_here() -> bool:
            return (await client.call("GET", path, user=customer, allow_redirects=False)).status == 503

        await until(answered_here, what="nobody is sent to a store that is down")
        assert (await send(client, customer, DATA)).status == 201

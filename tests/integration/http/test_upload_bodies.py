"""Bodies of uploads as no honest client sends them: each is a problem of the sender's, and leaves nothing behind."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import orjson
import pytest

from core.database.statement import Lock
from core.database.translate import NodeLost
from core.errors import Conflict, DeadlineExceeded, MeridianError
from core.limits import FILE_BYTES_MAX
from core.shard_map.model import ShardName
from tests.integration.http.asking import Json, is_problem, new_person, region_of, shard_of
from tests.integration.http.test_uploads import DATA, HALF, MULTIPART, get, send, spooled, upload
from tests.system import Client, Person, Phones, until

BEGIN, END = b"--xyz\r\n", b"\r\n--xyz--\r\n"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n'
PART = BEGIN + FILE + b"\r\n" + DATA


@pytest.fixture(scope="module")
async def person(gateway: Client, phones: Phones) -> Person:
    return await new_person(gateway, phones, "qa-1")


async def exchange(
    client: Client, person: Person, body: bytes, *headers: str, length: int | None = None
) -> tuple[int, list[str], Json]:
    """Status, header lines and problem of an upload written byte by byte as it stands here; read to the end."""
    assert client.runtime is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", client.runtime.settings.port)
    lines = [
        "POST /api/v1/uploads HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {person.access_token}",
        "Content-Type: multipart/form-data; boundary=xyz",
        *([] if length == 0 else [f"Content-Length: {len(body) if length is None else length}"]),
        *headers,
    ]
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        async with asyncio.timeout(20):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            size = next(int(line.partition(":")[2]) for line in head if line.lower().startswith("content-length:"))
            answer = orjson.loads(await reader.readexactly(size))
    finally:
        writer.close()
    return int(head[0].split()[1]), head, answer


MALFORMED = {
    "a header without a colon": BEGIN + b"no colon here\r\n\r\n" + DATA + END,
    "a header without an end": BEGIN + FILE[:-3] + b"a" * 9000 + b'"\r\n\r\n' + DATA + END,
    "more headers than anybody sends": BEGIN + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + FILE + b"\r\n" + END,
    "a charset": BEGIN + b'Content-Disposition: form-data; name="_charset_"\r\n\r\nutf-8\r\n' + PART + END,
    "no charset": BEGIN
    + b'Content-Disposition: form-data; name="_charset_"\r\n\r\n'
    + b"u" * 40
    + b"\r\n"
    + PART
    + END,
    "a multipart without a boundary": BEGIN + b"Content-Type: multipart/mixed\r\n" + FILE + b"\r\n" + DATA + END,
    "no last boundary": PART,
    "another boundary": PART.replace(b"xyz", b"xyy"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_is_badly_formed_is_malformed(gateway: Client, person: Person, body: bytes) -> None:
    status, _, answer = await exchange(gateway, person, body)
    assert (status, answer["code"]) == (400, "malformed"), answer
    assert spooled(gateway, person) == []


async def test_a_name_that_is_no_text_is_neither_kept_nor_repeated(gateway: Client, person: Person) -> None:
    status, _, answer = await exchange(gateway, person, PART.replace(b"a.png", b"caf\xe9.png") + END)
    assert (status, answer["name"]) == (201, "caf.png")
    second = PART + b"\r\n" + BEGIN + b'Content-Disposition: form-data; name="\xff"\r\n\r\nx' + END
    status, _, answer = await exchange(gateway, person, second)
    assert (status, [error["field"] for error in answer["errors"]]) == (422, ["file"])


async def test_an_empty_file_is_no_file(gateway: Client, person: Person) -> None:
    status, _, answer = await exchange(gateway, person, BEGIN + FILE + b"\r\n" + END)
    assert (status, answer["code"]) == (415, "unsupported_media")


@pytest.mark.parametrize("length", [FILE_BYTES_MAX * 2, 10**15])
async def test_what_says_that_it_is_too_large_is_not_waited_for(gateway: Client, person: Person, length: int) -> None:
    status, head, answer = await exchange(gateway, person, PART, length=length)
    assert (status, answer["code"]) == (413, "too_large")
    assert "Connection: close" in head


async def test_a_body_that_is_refused_early_closes_the_connection(gateway: Client, person: Person) -> None:
    html = BEGIN + FILE + b"\r\n<html>" + b"x" * 200_000
    status, head, answer = await exchange(gateway, person, html, length=FILE_BYTES_MAX)
    assert (status, answer["code"]) == (415, "unsupported_media")
    assert "Connection: close" in head


@pytest.mark.parametrize("begin", [b"", PART], ids=["before its file", "in its file"])
@pytest.mark.parametrize("line", [b"\r\n" * 10_000, b"nothing yet\r\n" * 2000])
async def test_a_body_that_goes_on_and_on_is_too_large(
    gateway: Client, person: Person, begin: bytes, line: bytes
) -> None:
    chunks = [begin, *[line] * (2 * FILE_BYTES_MAX // len(line))]
    endless = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk)
    headers = ("Transfer-Encoding: chunked", "X-Request-Timeout: 10")
    status, head, answer = await exchange(gateway, person, endless, *headers, length=0)
    assert (status, answer["code"]) == (413, "too_large")
    assert "Connection: close" in head
    assert spooled(gateway, person) == []


async def test_a_body_shorter_than_it_says_is_waited_for_until_the_deadline(gateway: Client, person: Person) -> None:
    status, head, answer = await exchange(gateway, person, PART, "X-Request-Timeout: 0.3", length=10_000)
    assert (status, answer["code"]) == (504, "deadline")
    assert "Connection: close" in head
    assert spooled(gateway, person) == []


async def test_an_expectation_that_nobody_understands_is_answered(gateway: Client) -> None:
    assert (await gateway.call("GET", "/health/live", headers={"Expect": "a-miracle"})).status == 417


async def test_what_a_name_hides_is_taken_off_it(gateway: Client, person: Person) -> None:
    body = PART.replace(b"a.png", "photo\u202egnp.html\u2066".encode()) + END
    status, _, made = await exchange(gateway, person, body)
    assert (status, made["name"]) == (201, "photognp.html")
    shown = (await get(gateway, person, made["id"])).headers["Content-Disposition"]
    assert shown == "inline; filename=\"photognp.html.png\"; filename*=UTF-8''photognp.html.png"


async def test_a_reader_who_goes_away_is_no_fault_of_ours(gateway: Client, person: Person) -> None:
    assert gateway.runtime is not None
    made = await upload(gateway, person, DATA.ljust(FILE_BYTES_MAX, b"x"))
    faults = gateway.runtime.metrics.errors.labels("internal")
    before, in_flight = faults._value.get(), gateway.runtime.metrics.in_flight
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.runtime.settings.port)
    writer.write(
        f"GET /api/v1/uploads/{made['id']} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {person.access_token}\r\n\r\n".encode()
    )
    assert (await reader.readline()).split()[1] == b"200"
    writer.transport.abort()

    async def ended() -> bool:
        return bool(in_flight._value.get() == 0)

    await until(ended, what="the answer that nobody reads is given up")
    assert faults._value.get() == before


async def test_a_reader_who_takes_nothing_is_cut_long_before_the_deadline(
    gateway: Client, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a few of them would hold all connections to the store."""
    assert gateway.runtime is not None
    monkeypatch.setattr("gateway.operations.downloads.DOWNLOAD_STALL_S", 0.3)
    made = await upload(gateway, person, DATA.ljust(FILE_BYTES_MAX, b"x"))
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.runtime.settings.port, limit=1000)
    writer.write(
        f"GET /api/v1/uploads/{made['id']} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {person.access_token}\r\n\r\n".encode()
    )
    in_flight = gateway.runtime.metrics.in_flight

    async def begun() -> bool:
        return bool(in_flight._value.get() > 0)

    async def ended() -> bool:
        return bool(in_flight._value.get() == 0)

    await until(begun)
    await until(ended, what="the reader is given up")
    writer.close()


@pytest.mark.parametrize(
    "second", [Conflict("the first holds a lock that the second waits for"), DeadlineExceeded("cancelled")], ids=repr
)
async def test_a_file_whose_row_may_still_come_is_not_thrown_away(
    gateway: Client, person: Person, monkeypatch: pytest.MonkeyPatch, second: MeridianError
) -> None:
    """The connection breaks after the insert was sent; it commits only when the second try has already failed."""
    shard = region_of(gateway, person).shards[ShardName(shard_of(gateway, person))]
    assert shard.roles.primary is not None
    node = shard.nodes[shard.roles.primary]
    fetch, late = node.fetch, asyncio.Event()
    tries: list[asyncio.Task[None] | None] = []

    async def broken(sql: str, args: Sequence[object], *, deadline: float, writes: bool, lock: Lock | None) -> object:
        if "INSERT INTO meridian.file" not in sql:
            return await fetch(sql, args, deadline=deadline, writes=writes, lock=lock)
        tries.append(asyncio.create_task(commit(sql, args)) if not tries else None)
        raise NodeLost("cut", sent=True) if len(tries) == 1 else second

    async def commit(sql: str, args: Sequence[object]) -> None:
        await late.wait()
        await fetch(sql, args, deadline=asyncio.get_running_loop().time() + 5, writes=True)

    key = {"Idempotency-Key": uuid4().hex}
    with monkeypatch.context() as patched:
        patched.setattr(node, "fetch", broken)
        assert (await send(gateway, person, DATA, headers=key)).status >= 400
    late.set()
    await asyncio.gather(*(each for each in tries if each is not None))
    again = await send(gateway, person, DATA, headers=key)
    assert (again.status, again.headers.get("Idempotent-Replayed")) == (201, "true")
    assert (await get(gateway, person, again.json["id"])).body == DATA

    async def drained() -> bool:
        return not spooled(gateway, person)

    await until(drained, what="the file goes where every file goes")
    assert (await get(gateway, person, again.json["id"])).body == DATA


async def test_nobody_in_particular_is_refused_before_their_file_is_read(gateway: Client) -> None:
    answer = await gateway.call("POST", "/uploads", data=HALF, headers=MULTIPART)
    is_problem(answer, 401, "unauthenticated")

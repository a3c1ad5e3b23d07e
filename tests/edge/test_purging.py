"""The purge endpoint: who may, what is understood, and what it says."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from edge.cache import Purge
from edge.messages import Request, Stream
from edge.purging import BODY_BYTES_MAX, NO_TOKEN, NOT_SET, PATH, WRONG_TOKEN, answer

TOKEN = "a-token-of-tests"


@dataclass
class Recorder:
    """Meets three entries with every purge."""

    purges: list[Purge] = field(default_factory=list)

    async def purge(self, purge: Purge) -> int:
        self.purges.append(purge)
        return 3


def asking(body: bytes, *, token: str | None = TOKEN, method: str = "POST", scheme: str = "Bearer") -> Request:
    headers = () if token is None else (("Authorization", f"{scheme} {token}"),)
    return Request(method, PATH, headers, body=body)


@pytest.mark.parametrize(
    ("sent", "purge"),
    [
        ({"url": "/api/v1/reference?x=1"}, Purge(url="/api/v1/reference?x=1")),
        ({"group": "reference", "hard": True}, Purge(group="reference", hard=True)),
        ({"region": "qa", "hard": False}, Purge(region="qa")),
    ],
)
async def test_it_purges_and_says_what_was_purged(sent: dict[str, Any], purge: Purge) -> None:
    recorder, told = Recorder(), list[tuple[Purge, int]]()
    response = await answer(
        asking(json.dumps(sent).encode()), recorder, TOKEN, told=lambda purge, count: told.append((purge, count))
    )
    assert response.status == 200
    assert json.loads(response.body) == {"purged": 3, "hard": False, **sent}
    assert recorder.purges == [purge]
    assert told == [(purge, 3)]
    assert response.field("Cache-Control") == "no-store"


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({}, ["url"]),
        ({"url": "/a", "group": "b"}, ["group"]),
        ({"url": ""}, ["url"]),
        ({"url": "a"}, ["url"]),
        ({"group": 5}, ["group"]),
        ({"url": "/a\ud800"}, ["url"]),
        ({"group": "\udfff"}, ["group"]),
        ({"region": "q\udc80", "\ud800": 1}, ["\ud800", "region"]),
        ({"group": "a", "hard": "yes"}, ["hard"]),
        ({"group": "a", "soft": True}, ["soft"]),
        ({"hard": 1, "what": 1}, ["what", "url", "hard"]),
    ],
)
async def test_every_wrong_field_is_named(sent: dict[str, Any], fields: list[str]) -> None:
    recorder = Recorder()
    response = await answer(asking(json.dumps(sent).encode()), recorder, TOKEN)
    problem = json.loads(response.body)
    assert response.status == 422
    assert problem["code"] == "invalid"
    assert [error["field"] for error in problem["errors"]] == fields
    assert recorder.purges == []


@pytest.mark.parametrize("body", [b"", b"[]", b"nothing", b"\xff", b'"url"', b"[" * 10_000])
async def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    assert (await answer(asking(body), Recorder(), TOKEN)).status == 400


@pytest.mark.parametrize(
    "request_",
    [
        asking(b"{}", token=None),
        asking(b"{}", token="another"),
        asking(b"{}", token=""),
        asking(b"{}", scheme="Basic"),
        asking(b"{}", token=TOKEN + "x"),
        asking(b"{}", token="ü"),
    ],
)
async def test_without_the_token_nothing_is_even_read(request_: Request) -> None:
    recorder = Recorder()
    response = await answer(request_, recorder, TOKEN)
    assert response.status == 401
    assert response.field("WWW-Authenticate") == 'Bearer realm="meridian-edge"'
    assert recorder.purges == []


async def test_whoever_is_refused_leaves_a_trace() -> None:
    reasons: list[str] = []
    await answer(asking(b"{}", token=None), Recorder(), TOKEN, refused=reasons.append)
    await answer(asking(b"{}", token="another"), Recorder(), TOKEN, refused=reasons.append)
    await answer(asking(b"{}"), Recorder(), None, refused=reasons.append)
    await answer(asking(b'{"group": "a"}'), Recorder(), TOKEN, refused=reasons.append)
    assert reasons == [NO_TOKEN, WRONG_TOKEN, NOT_SET]


@pytest.mark.parametrize("token", [None, ""])
async def test_where_no_token_is_configured_there_is_nothing(token: str | None) -> None:
    assert (await answer(asking(b"{}"), Recorder(), token)).status == 404


async def test_only_post_purges() -> None:
    response = await answer(asking(b"{}", method="GET"), Recorder(), TOKEN)
    assert response.status == 405
    assert response.field("Allow") == "POST"


async def test_a_body_too_large_is_not_read_to_its_end() -> None:
    read = 0

    async def pieces() -> Stream:
        nonlocal read
        while True:
            read += 1
            yield b" " * 4096

    request = Request("POST", PATH, (("Authorization", f"Bearer {TOKEN}"),), stream=pieces())
    assert (await answer(request, Recorder(), TOKEN)).status == 413
    assert read <= BODY_BYTES_MAX // 4096 + 1


async def test_a_streamed_body_is_read() -> None:
    async def pieces() -> Stream:
        yield b'{"group"'
        yield b': "a"}'

    recorder = Recorder()
    request = Request("POST", PATH, (("Authorization", f"bearer {TOKEN}"),), stream=pieces())
    assert (await answer(request, recorder, TOKEN)).status == 200
    assert recorder.purges == [Purge(group="a")]

"""The purge endpoint: who holds the token may say what is no longer to be trusted. Pure."""

import hmac
import json
from collections.abc import Callable
from typing import Any, Final, Protocol

from edge.cache import Purge
from edge.messages import Fields, Request, Response
from edge.prepared import problem

PATH: Final = "/_edge/purge"
BODY_BYTES_MAX: Final = 16 * 1024
NO_TOKEN, WRONG_TOKEN, NOT_SET = "no token", "wrong token", "no token is set here"
_KINDS: Final = ("url", "group", "region")
_NO_STORE: Final[Fields] = (("Cache-Control", "no-store"),)


class Purger(Protocol):
    """What can be purged: an edge."""

    async def purge(self, purge: Purge) -> int:
        """Do what a purge asks for; how many entries it met."""
        ...


class _Wrong(Exception):
    """A readable purge with wrong fields."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__(errors)
        self.errors = errors


async def answer(
    request: Request,
    edge: Purger,
    token: str | None,
    *,
    told: Callable[[Purge, int], None] = lambda _, __: None,
    refused: Callable[[str], None] = lambda _: None,
) -> Response:
    """Purge, and say what was purged: `{"purged": 3, "group": "reference", "hard": false}`.

    401 without the token, 404 where none is configured, 422 with `errors` for one that asks for nothing or too much.
    `told` learns of every purge, `refused` why somebody may not purge.
    """
    if not token:
        refused(NOT_SET)
        return _refused(request, 404, "not_found", "Not found", "purging is not configured here")
    if not _may(request, token):
        refused(NO_TOKEN if request.field("Authorization") is None else WRONG_TOKEN)
        challenge: Fields = (("WWW-Authenticate", 'Bearer realm="meridian-edge"'),)
        return _refused(request, 401, "unauthenticated", "Log in first", "the purge token is needed", challenge)
    if request.method != "POST":
        return _refused(request, 405, "method_not_allowed", "Method not allowed", "purge by POST", (("Allow", "POST"),))
    body = await _body_of(request)
    if body is None:
        return _refused(request, 413, "too_large", "The body is too large", f"more than {BODY_BYTES_MAX} bytes")
    try:
        purge = purge_of(body)
    except (ValueError, RecursionError):
        return _refused(request, 400, "malformed", "The request cannot be read", "the body is not a JSON object")
    except _Wrong as wrong:
        return _invalid(wrong.errors)
    purged = await edge.purge(purge)
    told(purge, purged)
    kind, value = next((kind, value) for kind in _KINDS if (value := getattr(purge, kind)) is not None)
    return _json(200, "application/json", {"purged": purged, kind: value, "hard": purge.hard})


def purge_of(body: bytes) -> Purge:
    """The purge that a body asks for. Raises ValueError for what is no JSON object, and for wrong fields."""
    data = json.loads(body)
    if not isinstance(data, dict):
        raise ValueError("no object")
    errors = [*_unknown(data), *_faults(data)]
    if errors:
        raise _Wrong(errors)
    return Purge(data.get("url"), data.get("group"), data.get("region"), data.get("hard", False))


def _unknown(data: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, "is not known here") for name in data if name not in (*_KINDS, "hard")]


def _faults(data: dict[str, Any]) -> list[tuple[str, str]]:
    given = [kind for kind in _KINDS if kind in data]
    faults: list[tuple[str, str]] = [
        (kind, "must be a text that is not empty, of whole characters") for kind in given if not _is_text(data[kind])
    ]
    if len(given) != 1:
        faults.append((given[1] if given else "url", "give exactly one of url, group and region"))
    if _is_text(data.get("url")) and not data["url"].startswith("/"):
        faults.append(("url", "must be a path, with its query if it has one"))
    if not isinstance(data.get("hard", False), bool):
        faults.append(("hard", "must be true or false"))
    return faults


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _may(request: Request, token: str) -> bool:
    scheme, _, given = (request.field("Authorization") or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


async def _body_of(request: Request) -> bytes | None:
    """The whole body; None if it is too large."""
    body = request.body
    if request.stream is not None:
        async for piece in request.stream:
            body += piece
            if len(body) > BODY_BYTES_MAX:
                await request.stream.aclose()
                return None
    return body if len(body) <= BODY_BYTES_MAX else None


def _invalid(errors: list[tuple[str, str]]) -> Response:
    return _json(
        422,
        "application/problem+json",
        {
            "type": "/api/docs#problem-invalid",
            "title": "Some fields are not valid",
            "status": 422,
            "detail": "one field is not valid" if len(errors) == 1 else f"{len(errors)} fields are not valid",
            "code": "invalid",
            "errors": [{"field": field, "message": message} for field, message in errors],
        },
    )


def _refused(request: Request, status: int, code: str, title: str, detail: str, fields: Fields = ()) -> Response:
    return problem(request, status, code, title, detail, (*_NO_STORE, *fields))


def _json(status: int, media_type: str, members: dict[str, Any]) -> Response:
    body = json.dumps(members).encode()
    fields: Fields = (("Content-Type", media_type), ("Content-Length", str(len(body))), *_NO_STORE)
    return Response(status, fields, body)

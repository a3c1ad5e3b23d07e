"""Conditional and partial requests, answered from a whole answer (RFC 9110 13 and 14)."""

from collections.abc import Mapping
from typing import Final

from edge.fields import date, without
from edge.messages import Fields, Response
from edge.negotiation import holds
from edge.ranges import Part, Unsatisfiable, part_asked

CONDITIONS: Final = frozenset({"if-none-match", "if-modified-since"})
"""The client's own, which a cache answers itself where it has the whole answer."""

_OF_THE_BODY: Final = frozenset(
    {"content-length", "content-type", "content-encoding", "content-language", "content-range"}
)


def answered(response: Response, asked: Mapping[str, str], *, is_head: bool = False) -> Response:
    """What the client gets of a whole answer: all of it, its head, 304, a part (206) or 416.

    `asked` are the fields of the request by lower-case name. An answer with a stream is not cut.
    """
    if is_head:
        asked = {name: value for name, value in asked.items() if name in CONDITIONS}
        response = Response(response.status, response.headers)
    if response.status != 200:
        return response
    if not CONDITIONS.isdisjoint(asked) and is_not_modified(response, asked):
        return Response(304, without(response.headers, _OF_THE_BODY))
    if "range" not in asked or response.stream is not None or not _range_holds(response, asked):
        return response
    try:
        part = part_asked(asked["range"], len(response.body))
    except Unsatisfiable:
        size = len(response.body)
        headers = without(response.headers, _OF_THE_BODY)
        return Response(416, (*headers, ("Content-Range", f"bytes */{size}"), ("Content-Length", "0")))
    return response if part is None else _cut(response, part)


def is_not_modified(response: Response, asked: Mapping[str, str]) -> bool:
    """Whether the client has this answer already. If-None-Match goes before If-Modified-Since (RFC 9110 13.2.2)."""
    if "if-none-match" in asked:
        etag = response.field("ETag")
        held = asked["if-none-match"]
        return held.strip() == "*" or (etag is not None and holds(held, etag.removeprefix("W/")))
    since = date(asked.get("if-modified-since"))
    # Without Last-Modified, it is no older than its Date (RFC 9111 4.3.2).
    changed = date(response.field("Last-Modified") or response.field("Date"))
    return since is not None and changed is not None and changed <= since


def _range_holds(response: Response, asked: Mapping[str, str]) -> bool:
    """Whether If-Range names this very answer; compared strongly (RFC 9110 13.1.5)."""
    wanted = asked.get("if-range")
    if wanted is None:
        return True
    if wanted.startswith('"'):
        return wanted.strip() == response.field("ETag")
    return date(wanted) is not None and wanted == response.field("Last-Modified")


def _cut(response: Response, part: Part) -> Response:
    body = response.body[part.first : part.last + 1]
    where = f"bytes {part.first}-{part.last}/{len(response.body)}"
    headers: Fields = without(response.headers, frozenset({"content-length", "content-range"}))
    return Response(206, (*headers, ("Content-Range", where), ("Content-Length", str(len(body)))), body)

"""REDbot as a program: looks at each url of its command line, and prints what it notes as one JSON list.

A process of its own, because its engine brings its own event loop.
"""

import json
import sys
from configparser import ConfigParser
from typing import Any

import thor
from redbot.resource import HttpResource  # type: ignore[import-untyped]  # it has no types

Headers = list[tuple[str, str]]


def look_at(wanted: list[tuple[str, Headers]]) -> list[dict[str, str]]:
    """All that REDbot notes of urls, each with the headers to send, and of the requests it makes to find out more."""
    config = ConfigParser()
    config.read_dict({"redbot": {"enable_local_access": "True"}})
    resources = [HttpResource(config["redbot"]) for _ in wanted]
    left = len(resources)

    def done() -> None:
        nonlocal left
        left -= 1
        if not left:
            thor.stop()

    for resource, (url, headers) in zip(resources, wanted, strict=True):
        resource.set_request(url, headers=headers)
        resource.on("check_done", done)
    thor.schedule(0, lambda: [resource.check() for resource in resources])
    thor.run()
    return [note for resource in resources for note in notes_of(resource)]


def notes_of(resource: HttpResource) -> list[dict[str, str]]:
    """What was noted of one url. Ends the program when it could not be looked at."""
    checks = [resource, *resource.subreqs.values()]
    failed = [f"{check.check_id}: {check.fetch_error!r}" for check in checks if check.fetch_error is not None]
    if failed or not resource.response.complete:
        raise SystemExit(f"{resource.request.uri} could not be looked at: {failed}")
    return [noted(str(resource.request.uri), check, note) for check in checks for note in check.response.notes]


def noted(url: str, check: Any, note: Any) -> dict[str, str]:
    """One note in plain words."""
    return {
        "url": url,
        "check": check.check_id,
        "level": note.level.value,
        "name": type(note).__name__,
        "subject": note.subject,
        "says": str(note.summary),
    }


if __name__ == "__main__":
    json.dump(
        look_at([(url, [(name, value) for name, value in headers]) for url, headers in json.load(sys.stdin)]),
        sys.stdout,
    )

"""Asking edges that run to purge something."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

from edge.purging import PATH

TIMEOUT_S: Final = 5.0
_OPTIONS: Final = {"url": "--path", "group": "--group", "region": "--region", "hard": "--hard"}


@dataclass(frozen=True, slots=True)
class Purged:
    """What one edge said: how many entries a purge met, or why it did nothing."""

    url: str
    count: int | None
    reason: str = ""


async def purge_all(urls: Sequence[str], what: Mapping[str, object], token: str) -> list[Purged]:
    """Ask every edge, one after another."""
    async with ClientSession(timeout=ClientTimeout(total=TIMEOUT_S)) as session:
        return [await _purge(session, url, what, token) for url in urls]


async def _purge(session: ClientSession, url: str, what: Mapping[str, object], token: str) -> Purged:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        async with session.post(
            url.rstrip("/") + PATH, data=orjson.dumps(what), headers=headers, allow_redirects=False
        ) as response:
            body = orjson.loads(await response.read())
            if response.status == 200:
                return Purged(url, int(body["purged"]))
            return Purged(url, None, f"{response.status}: {_words(body)}")
    except (ClientError, OSError, TimeoutError) as exc:
        return Purged(url, None, f"it does not answer ({type(exc).__name__})")
    except (ValueError, KeyError, TypeError):
        return Purged(url, None, "it does not answer as an edge does")


def _words(problem: Mapping[str, Any]) -> str:
    """What is wrong; fields are named as the options that the operator gave."""
    errors = [
        f"{_OPTIONS.get(error['field'], error['field'])}: {error['message']}" for error in problem.get("errors", ())
    ]
    return "; ".join(errors) or str(problem["detail"])

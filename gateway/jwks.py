"""Public keys between services: ours, published as a JWK set, and an outside issuer's, fetched in the background."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

from core.breaker import Breaker, BreakerState
from core.changes import OnChange
from core.limits import (
    ISSUER_ASK_AGAIN_S,
    ISSUER_BODY_BYTES_MAX,
    ISSUER_KEY_WAIT_S,
    ISSUER_KEYS_MAX,
    ISSUER_PAUSE_MAX_S,
    ISSUER_REFRESH_S,
    ISSUER_TIMEOUT_S,
)
from gateway.keys import Key, keys_of_set

JWKS_PATH: Final = "/.well-known/jwks.json"
JWKS_TYPE: Final = "application/jwk-set+json"
LOST, FOUND, CHANGED = "issuer_unreachable", "issuer_answers", "issuer_keys_changed"


def jwk_set(keys: Iterable[Key]) -> bytes:
    """What stands at JWKS_PATH: the public keys among `keys`. A secret is never among them."""
    return orjson.dumps({"keys": [key.jwk for key in keys if key.jwk is not None]})


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """An outside issuer: where its JWK set is, and the `iss` and `aud` that its tokens must have."""

    jwks_url: str
    issuer: str
    audience: str


@dataclass(frozen=True, slots=True)
class IssuerHealth:
    """Whether the issuer answered when last asked, how many of its keys are known, and since when it does not."""

    connected: bool
    keys: int
    since: datetime | None


class Issuer:
    """An outside issuer's keys, kept in memory; `run` keeps them fresh. While it is down the last ones stay good.

    `clock` gives monotonic seconds, `wall` aware UTC; `changed` is called when its keys are not what they were.
    """

    def __init__(
        self,
        settings: IssuerSettings,
        *,
        session: ClientSession,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        on_event: OnChange,
    ) -> None:
        self.url = settings.jwks_url
        self.issuer = settings.issuer
        self.audience = settings.audience
        self.keys: Mapping[str, Key] = {}
        self.changed: Callable[[], None] = lambda: None
        self._session = session
        self._clock = clock
        self._wall = wall
        self._on_event = on_event
        self._breaker = Breaker(
            failures_max=1, pause_s=1.0, pause_max_s=ISSUER_PAUSE_MAX_S, trial_s=2 * ISSUER_TIMEOUT_S
        )
        self._since: datetime | None = None
        self._answered = False
        self._asked = asyncio.Event()
        self._under_way = True
        self._asked_at = float("-inf")
        self._fetched = asyncio.Event()

    async def run(self) -> None:
        """Fetch now, then now and then: sooner after a failure, and when somebody asks for a key that is not known."""
        while True:
            self._asked.clear()
            await self._fetch()
            self._under_way = False
            self._fetched.set()
            self._fetched = asyncio.Event()
            closed = self._breaker.state is BreakerState.CLOSED
            rest_s = ISSUER_REFRESH_S if closed else max(0.0, self._breaker.next_at - self._clock())
            with suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._asked.wait()

    async def wait_for(self, kid: str) -> None:
        """Have the keys fetched for the sake of one that is not known, and wait ISSUER_KEY_WAIT_S at most.

        Returns at once if that was done within the last ISSUER_ASK_AGAIN_S and nothing is under way.
        """
        if kid in self.keys:
            return
        now = self._clock()
        if now >= self._asked_at + ISSUER_ASK_AGAIN_S:
            self._asked_at = now
            self._under_way = True
            self._asked.set()
        elif not self._under_way:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(ISSUER_KEY_WAIT_S):
                await self._fetched.wait()

    def health(self) -> IssuerHealth:
        """What the last fetch showed."""
        return IssuerHealth(self._answered, len(self.keys), self._since)

    async def _fetch(self) -> None:
        self._breaker = self._breaker.asked(self._clock())
        try:
            found = keys_of_set(await self._document(), keys_max=ISSUER_KEYS_MAX)
        except (ClientError, OSError, TimeoutError) as exc:
            self._failed(type(exc).__name__)
        except ValueError as exc:
            self._failed(str(exc))
        else:
            self._succeeded(found)

    async def _document(self) -> bytes:
        timeout = ClientTimeout(total=ISSUER_TIMEOUT_S)
        async with self._session.get(self.url, timeout=timeout, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"it answered {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > ISSUER_BODY_BYTES_MAX:
                    raise ValueError(f"its JWK set is larger than {ISSUER_BODY_BYTES_MAX} bytes")
            return bytes(body)

    def _succeeded(self, found: Mapping[str, Key]) -> None:
        self._breaker = self._breaker.succeeded(self._clock())
        self._answered = True
        if self._since is not None:
            self._on_event(FOUND, {})
            self._since = None
        if _identities(found) != _identities(self.keys):
            self.keys = found
            self._on_event(CHANGED, {"keys": len(found)})
            self.changed()

    def _failed(self, reason: str) -> None:
        self._breaker = self._breaker.failed(self._clock())
        self._answered = False
        if self._since is None:
            self._since = self._wall()
            self._on_event(LOST, {"reason": reason, "level": "warning", "keys_kept": len(self.keys)})


def _identities(keys: Mapping[str, Key]) -> dict[str, tuple[str, object]]:
    return {kid: (key.algorithm, key.verifies) for kid, key in keys.items()}

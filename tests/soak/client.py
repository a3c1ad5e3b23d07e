"""What a user's app does with every request: through either gateway, with credentials, with the consistency token."""

import asyncio
import json
from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from aiohttp import ClientError, ClientTimeout

from tests.soak.ledger import Ledger
from tests.soak.report import Report
from tests.soak.world import World

TRIES_WITHIN_S = 60.0
HANG_UPS = 0.06  # so many POSTs are cut off by their sender, as by a phone that loses its network, and sent again
HANG_UP_WITHIN_S = 0.15
ALLOWED_S = 6
By = Literal["token", "cookie", "nobody"]


@dataclass(frozen=True)
class Reply:
    """One answer; status 0 when there was none."""

    status: int
    body: bytes = b""
    token: str = ""
    cookie: str = ""
    shard: str = ""

    @property
    def json(self) -> Any:
        """The body as JSON, an empty object if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def code(self) -> str:
        """The problem's code, if it is one."""
        found = self.json if self.status >= 400 else {}
        return str(found.get("code", "")) if isinstance(found, dict) else ""

    @property
    def outcome_is_unknown(self) -> bool:
        """Whether a write that was answered like this may have happened."""
        return self.status in (0, 504) or self.code == "outcome_unknown"

    def __str__(self) -> str:
        return f"{self.status} {self.body[:200]!r}"


class Client:
    """One user's connection to the system. Notes what nobody may ever be told: see `call`."""

    def __init__(self, world: World, ledger: Ledger, report: Report, random: Random, *, phone: str, shard: str) -> None:
        self.phone = phone
        self.access_token = ""
        self.cookie = ""
        self.shard = shard  # of a user not yet registered, their region
        self._world = world
        self._ledger = ledger
        self._report = report
        self._random = random
        self._consistency_token = ""
        self._promotions_told = 0

    async def call(
        self,
        method: str,
        path: str,
        *,
        by: By = "token",
        expected: Collection[int] = (),
        headers: dict[str, str] | None = None,
        patience_s: float = 3 * ALLOWED_S,  # longer than the gateway may take: it must end each request itself
        **more: Any,
    ) -> Reply:
        """One request, counted. `expected` are statuses that are right for once. Violations are a fault of the server
        itself, a session refused that was not ended, and `write_lost` more than once for each promotion.
        """
        sent = {"X-Request-Timeout": str(ALLOWED_S), **self._credentials(by), **(headers or {})}
        if self._consistency_token:
            sent["Consistency-Token"] = self._consistency_token
        reply = await self._sent(method, path, sent, patience_s, more)
        self._consistency_token = reply.token or self._consistency_token
        self._report.answered(reply.status, reply.code, fine=reply.status in expected)
        if reply.status not in expected:
            self._judge(f"{method} {path}", by, reply)
        return reply

    async def until_known(self, method: str, path: str, **more: Any) -> Reply | None:
        """Repeat a POST with one idempotency key until its outcome is known; None if that takes too long.

        An argument that can be used only once is given as a function that makes it.
        """
        key = f"{self._random.getrandbits(64):x}"
        deadline = asyncio.get_running_loop().time() + TRIES_WITHIN_S
        if self._random.random() < HANG_UPS:
            patience_s = self._random.uniform(0, HANG_UP_WITHIN_S)
            reply = await self._try(method, path, key, more, expected={0}, patience_s=patience_s)
            if reply.status != 0 and not _is_open(reply):
                return reply
        while asyncio.get_running_loop().time() < deadline:
            reply = await self._try(method, path, key, more)
            if not _is_open(reply):
                return reply
            await asyncio.sleep(self._random.uniform(0.05, 0.3))
        self._ledger.unknown += 1
        return None

    async def _try(self, method: str, path: str, key: str, more: dict[str, Any], **how: Any) -> Reply:
        made = {name: value() if callable(value) else value for name, value in more.items()}
        return await self.call(method, path, headers={"Idempotency-Key": key}, **how, **made)

    def violated(self, what: str) -> None:
        """Note a promise to this user that was broken."""
        self._ledger.violated(f"{self.phone} at {self._report.clock():.1f} s: {what}")

    def _credentials(self, by: By) -> dict[str, str]:
        match by:
            case "token":
                return {"Authorization": f"Bearer {self.access_token}"}
            case "cookie":
                return {"Cookie": f"meridian_session={self.cookie}", "X-Requested-With": "the app"}
            case "nobody":
                return {}

    def _judge(self, what: str, by: By, reply: Reply) -> None:
        if reply.status == 500:
            self.violated(f"{what} answered {reply}")
        if reply.code == "write_lost":
            # What was seen just before a primary died, nobody can prove to be kept; that is said once.
            promotions = self._report.promotions(self.shard)
            if promotions == self._promotions_told:
                self.violated(f"{what}: write_lost, and {promotions} promotions were told of already")
            self._promotions_told = promotions
        if reply.status in (401, 403) and by != "nobody":
            self.violated(f"{what}: logged out by a fault: {reply}")

    async def _sent(
        self, method: str, path: str, headers: dict[str, str], patience_s: float, more: dict[str, Any]
    ) -> Reply:
        session = self._random.choice(self._world.in_service).client.session
        patience = ClientTimeout(total=patience_s)
        try:
            async with session.request(method, f"/api/v1{path}", headers=headers, timeout=patience, **more) as answer:
                body = await answer.read()
                cookie = answer.cookies.get("meridian_session")
                return Reply(
                    answer.status,
                    body,
                    token=answer.headers.get("Consistency-Token", ""),
                    cookie=cookie.value if cookie else "",
                    shard=answer.headers.get("Meridian-Route", "").partition("/")[0],
                )
        except (ClientError, TimeoutError, OSError):
            return Reply(0)


def _is_open(reply: Reply) -> bool:
    """Whether an answer leaves the outcome of a POST with a key open, or says that it may succeed later."""
    is_under_way = reply.status == 409 and "another request" in str(reply.json)
    return reply.status in (0, 503, 504) or reply.code == "write_lost" or is_under_way

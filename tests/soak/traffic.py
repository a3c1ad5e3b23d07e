"""The users: each does one thing after another through either gateway, and remembers what it was promised."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

from aiohttp import ClientError, ClientTimeout, FormData

from tests.soak.ledger import Account, Expected, Ledger
from tests.soak.report import Report
from tests.soak.world import World

TRIES_WITHIN_S = 60.0
PASSWORD = "a-password-of-the-soak"
PNG = b"\x89PNG\r\n\x1a\n"
ADDRESS = {"address_text": "Street 1", "lat": 25.3, "lng": 51.5}
REQUEST = {"car_make": "Toyota", "car_model": "Hilux", "car_year": 2020}
ADDRESSES_MAX = 15


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
        found = self.json
        return str(found.get("code", "")) if isinstance(found, dict) and self.status >= 400 else ""


class Client:
    """One user: an account, its credentials, its consistency token."""

    def __init__(
        self, world: World, ledger: Ledger, report: Report, random: Random, *, region: str, phone: str
    ) -> None:
        self._world = world
        self._ledger = ledger
        self._report = report
        self._random = random
        self._region = region
        self._shard = region  # until registration has said which of its shards it is
        self._phone = phone
        self._token = ""
        self._access = ""
        self._cookie = ""
        self.account: Account | None = None

    async def live(self, stop: asyncio.Event) -> None:
        """Register, then act until told to stop."""
        await self._register()
        while not stop.is_set():
            action = self._random.choices(
                [self._read_lists, self._add_address, self._relabel, self._remove, self._ask, self._cancel,
                 self._upload, self._download, self._rename, self._visit, self._log_in],
                [40, 8, 8, 4, 8, 5, 6, 8, 6, 10, 2],
            )[0]  # fmt: skip
            await action()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        access: str = "writes",
        cookie: bool = False,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Reply:
        sent = {"X-Request-Timeout": "6", **(headers or {})}
        if cookie:
            sent["Cookie"] = self._cookie
        elif self._access:
            sent["Authorization"] = f"Bearer {self._access}"
        if self._token:
            sent["Consistency-Token"] = self._token
        reply = await self._sent(method, path, sent, more)
        if reply.token:
            self._token = reply.token
        self._report.answered(self._shard, access, reply.status, reply.code)
        return reply

    async def _sent(self, method: str, path: str, headers: dict[str, str], more: dict[str, Any]) -> Reply:
        session = self._random.choice(self._world.serving).client.session
        try:
            async with session.request(
                method, f"/api/v1{path}", headers=headers, timeout=ClientTimeout(total=20), **more
            ) as answer:
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

    async def _until_known(self, method: str, path: str, **more: Any) -> Reply | None:
        """Repeat a POST with one idempotency key until its outcome is known; None if that takes too long."""
        key = f"{self._random.getrandbits(64):x}"
        deadline = asyncio.get_running_loop().time() + TRIES_WITHIN_S
        while asyncio.get_running_loop().time() < deadline:
            made = {name: value() if callable(value) else value for name, value in more.items()}
            reply = await self._call(method, path, headers={"Idempotency-Key": key}, **made)
            busy = reply.status == 409 and "another request" in str(reply.json)
            retry = reply.status in (0, 503, 504) or busy or reply.code == "write_lost"
            if not retry:
                return reply
            await asyncio.sleep(self._random.uniform(0.05, 0.3))
        return None

    async def _register(self) -> None:
        body = {"full_name": "At first", "phone_number": self._phone, "password": PASSWORD, "role": "customer"}
        reply = await self._until_known("POST", "/auth/register", json=body)
        assert reply is not None
        assert reply.status == 201, reply
        self._access, self._shard = reply.json["access_token"], reply.shard
        self.account = Account(self._region, self._phone, UUID(reply.json["user"]["id"]), {"At first"})
        self._ledger.accounts.append(self.account)
        self._ledger.acknowledged += 1

    async def _log_in(self) -> None:
        body = {"phone_number": self._phone, "password": PASSWORD, "cookie": True}
        reply = await self._call("POST", "/auth/login", json=body)
        if reply.cookie:
            self._cookie = f"meridian_session={reply.cookie}"
        elif reply.status in (401, 404):
            self._ledger.violated(f"{self._phone}: cannot log in to an account that was acknowledged: {reply.body!r}")

    async def _visit(self) -> None:
        """A session that was begun and not ended is never refused, whatever happened to the session store."""
        if not self._cookie:
            return await self._log_in()
        reply = await self._call("GET", "/auth/session", access="reads", cookie=True)
        if reply.status in (401, 403):
            self._ledger.violated(f"{self._phone}: was logged out by a fault: {reply.body!r}")
        return None

    async def _add_address(self) -> None:
        rows = self._known.rows["address"]
        if sum(row.maybe_there for row in rows.values()) < ADDRESSES_MAX:
            await self._create("address", "/addresses", lambda mark: {**ADDRESS, "label": mark}, "label")

    async def _ask(self) -> None:
        await self._create("request", "/requests", lambda mark: {**REQUEST, "part_description": mark}, "status")

    async def _create(self, kind: str, path: str, body: Any, value: str) -> None:
        mark = f"{self._random.getrandbits(64):016x}"
        self._known.attempts[kind][mark] = None
        reply = await self._until_known("POST", path, json=body(mark))
        if reply is None:
            return
        if reply.status != 201:
            self._ledger.violated(f"{self._phone}: POST {path} answered {reply.status} {reply.body[:200]!r}")
            return
        id = UUID(reply.json["id"])
        self._ledger.created(self._known, kind, mark, id, reply.json[value])
        await self._sees(kind, id)

    async def _relabel(self) -> None:
        found = self._some("address")
        if found is None:
            return
        id, row = found
        label = f"{self._random.getrandbits(64):016x}"
        reply = await self._call("PATCH", f"/addresses/{id}", json={"label": label})
        if reply.status == 200:
            self._ledger.changed(row, label, known=True)
            await self._sees("address", id)
        elif reply.status in (0, 504) or reply.code == "outcome_unknown":
            self._ledger.changed(row, label, known=False)
        elif reply.status == 404 and row.surely_there:
            self._ledger.violated(f"{self._phone}: address {id} is gone")

    async def _remove(self) -> None:
        found = self._some("address")
        if found is None:
            return
        id, row = found
        reply = await self._call("DELETE", f"/addresses/{id}")
        if reply.status == 204:
            self._ledger.removed(row, known=True)
        elif reply.status in (0, 504) or reply.code == "outcome_unknown":
            self._ledger.removed(row, known=False)

    async def _cancel(self) -> None:
        found = self._some("request")
        if found is None or found[1].values != {"active"}:
            return
        id, row = found
        reply = await self._until_known("POST", f"/requests/{id}/cancel")
        if reply is None:
            self._ledger.changed(row, "cancelled", known=False)
        elif reply.status == 200:
            self._ledger.changed(row, "cancelled", known=True)
            await self._sees("request", id)
        else:
            self._ledger.violated(f"{self._phone}: cancel of {id} answered {reply.status} {reply.body[:200]!r}")

    async def _rename(self) -> None:
        name = f"Name {self._random.getrandbits(32):x}"
        reply = await self._call("PATCH", "/me", json={"full_name": name})
        if reply.status == 200:
            self._known.names = {name}
            self._ledger.acknowledged += 1
            seen = await self._call("GET", "/me", access="reads")
            if seen.status == 200 and seen.json["full_name"] != name:
                self._ledger.violated(f"{self._phone}: wrote the name {name} and read {seen.json['full_name']}")
        elif reply.status in (0, 504) or reply.code == "outcome_unknown":
            self._known.names |= {name}

    async def _upload(self) -> None:
        data = PNG + self._random.randbytes(self._random.randint(1, 200_000))
        mark = hashlib.sha256(data).hexdigest()
        self._known.attempts["upload"][mark] = None
        reply = await self._until_known("POST", "/uploads", data=lambda: _form(data))
        if reply is None:
            return
        if reply.status != 201 or reply.json["sha256"] != mark:
            self._ledger.violated(f"{self._phone}: upload answered {reply.status} {reply.body[:200]!r}")
            return
        self._ledger.created(self._known, "upload", mark, UUID(reply.json["id"]), mark)

    async def _download(self) -> None:
        found = self._some("upload")
        if found is None:
            return
        id, row = found
        reply = await self._call("GET", f"/uploads/{id}", access="reads")
        if reply.status == 200 and hashlib.sha256(reply.body).hexdigest() not in row.values:
            self._ledger.violated(f"{self._phone}: upload {id} came back as something else")
        if reply.status == 404:
            self._ledger.violated(f"{self._phone}: upload {id} is gone")

    async def _read_lists(self) -> None:
        await self._sees(self._random.choice(["address", "request"]), None)

    async def _sees(self, kind: str, id: UUID | None) -> None:
        """Read one's own list: everything that was acknowledged is in it as it was acknowledged, and nothing else."""
        path, value = {"address": ("/addresses", "label"), "request": ("/requests", "status")}[kind]
        reply = await self._call("GET", path, access="reads", params={"limit": "100"})
        if reply.status != 200:
            return
        shown = {UUID(item["id"]): item[value] for item in reply.json["items"]}
        rows = self._known.rows[kind]
        newest = sorted(rows, reverse=True)[:90]  # a page has a hundred
        for known in newest if id is None else [id]:
            row = rows[known]
            if row.surely_there and known not in shown:
                self._ledger.violated(f"{self._phone}: {kind} {known} was acknowledged and is not read")
            if known in shown and (not row.maybe_there or shown[known] not in row.values):
                self._ledger.violated(f"{self._phone}: {kind} {known} is read as {shown[known]}, not {row.values}")

    def _some(self, kind: str) -> tuple[UUID, Expected] | None:
        there = [(id, row) for id, row in self._known.rows[kind].items() if row.maybe_there]
        return self._random.choice(there) if there else None

    @property
    def _known(self) -> Account:
        assert self.account is not None
        return self.account


def _form(data: bytes) -> FormData:
    body = FormData()
    body.add_field("file", data, filename="photo.png")
    return body

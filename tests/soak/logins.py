"""A user's sessions: by tokens and by cookie, refreshed, ended, begun again. A fault ends none of them."""

from uuid import UUID

from tests.soak.client import By, Client, Reply
from tests.soak.ledger import Account, Ledger, Values

PASSWORD = "a-password-of-the-soak"
FIRST_NAME = "At first"


class Logins:
    """The sessions of one user, through their client."""

    def __init__(self, client: Client, ledger: Ledger) -> None:
        self._client = client
        self._ledger = ledger
        self._refresh_token = ""

    async def register(self, region: str) -> Account | None:
        """A new account, logged in by tokens; None if that was not to be had."""
        client = self._client
        body = {"full_name": FIRST_NAME, "phone_number": client.phone, "password": PASSWORD, "role": "customer"}
        reply = await client.until_known("POST", "/auth/register", by="nobody", json=body)
        if reply is None or reply.status != 201:
            client.violated(f"registration answered {reply}")
            return None
        self._keep(reply)
        client.shard = reply.shard
        account = Account(region, client.phone, UUID(reply.json["user"]["id"]), Values(FIRST_NAME))
        self._ledger.registered(account)
        return account

    async def log_in(self, by: By) -> None:
        """Begin a session of this kind. An account that was acknowledged is always let in."""
        body = {"phone_number": self._client.phone, "password": PASSWORD, "cookie": by == "cookie"}
        reply = await self._client.until_known("POST", "/auth/login", by="nobody", json=body)
        if reply is None:
            return
        if reply.status != 200:
            self._client.violated(f"login answered {reply}")
        elif by == "cookie":
            self._client.cookie = reply.cookie
        else:
            self._keep(reply)

    async def visit(self, account: Account, by: By) -> Reply:
        """Ask who one is; it is oneself."""
        reply = await self._client.call("GET", "/auth/session", by=by)
        if reply.status == 200 and reply.json["user"]["id"] != str(account.id):
            self._client.violated(f"was taken for {reply.json['user']['id']}")
        return reply

    async def refresh(self) -> None:
        """New tokens for the old ones, whatever became of the answer at first."""
        body = {"refresh_token": self._refresh_token}
        reply = await self._client.until_known("POST", "/auth/refresh", by="nobody", json=body)
        if reply is not None and reply.status == 200:
            self._keep(reply)
            return
        if reply is not None:
            self._client.violated(f"refresh answered {reply}")
        self._client.access_token = ""  # nobody knows which token is the newest: begin anew

    async def log_out(self, by: By) -> None:
        """End a session; from then on it is refused, whichever gateway is asked."""
        reply = await self._client.call("POST", "/auth/logout", by=by)
        if reply.status == 204:
            self._ledger.acknowledged += 1
            reply = await self._client.call("GET", "/auth/session", by=by, expected={401})
            if reply.status == 200:
                self._client.violated(f"a session by {by} that was ended is still let in")
        elif reply.outcome_is_unknown:
            self._ledger.unknown += 1
        else:
            return
        if by == "cookie":
            self._client.cookie = ""
        else:
            self._client.access_token = ""

    def _keep(self, reply: Reply) -> None:
        self._client.access_token, self._refresh_token = reply.json["access_token"], reply.json["refresh_token"]
        self._ledger.acknowledged += 1

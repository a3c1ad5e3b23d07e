"""Who is admitted now: rate limits by user, by address, and for attempts at credentials. Decided in memory.

A verified user is limited by their id, wherever they are; everybody else by their address (IPv6: its /64), which many
may share. A call that is an `attempt` at credentials is limited besides:

- by what is tried: the user's id, or a keyed digest of the phone number, whatever addresses take turns at it;
- where nobody is logged in, by address, ten times the count, because many people stand behind one.

A network (/24, IPv6: /48) from which a phone number has logged in lately has a bucket of its own for that number. So
strangers who guess at a number use up what strangers have, and its owner still gets in from where they always do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final

from aiohttp import web

from core.errors import Invalid, MeridianError, RateLimited
from core.limiter import Limit, Limiter, Limiters
from core.limits import FAMILIAR_LIFETIME_S
from gateway.boundary import Context
from gateway.credentials import User
from gateway.geography.address import shorten
from gateway.geography.decision import Decision, Signals
from gateway.geography.phone import parse_phone
from gateway.policies import Policies, Standing, limit_field, policy_field, seconds_up

if TYPE_CHECKING:
    from gateway.runtime import MapInForce

POLICY_HEADER: Final = "RateLimit-Policy"
LIMIT_HEADER: Final = "RateLimit"
USER: Final = "user"
ADDRESS: Final = "address"
CREDENTIALS: Final = "credentials"
CREDENTIALS_BY_ADDRESS: Final = "credentials-by-address"
_SUBNET_BITS: Final = 64
_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at credentials that was admitted."""

    limiter: Limiter | None = None
    familiar: str = ""

    def succeeded(self) -> None:
        """The credentials were right: this network is familiar for this identifier from now on."""
        if self.limiter is not None:
            self.limiter.mark(self.familiar, FAMILIAR_LIFETIME_S)


NO_ATTEMPT: Final = Attempt()


class Admission:
    """Admits or raises RateLimited; how a request stands is kept in its Context, for the answer's header fields.

    `policies` None: everything is admitted, nothing is counted or told. `digest` is keyed: nobody finds from what it
    gives what it was given. Each bucket is in the region that its own key names and not in the one a request is for, so
    that asking for another region gives nobody another bucket. `refused` is told the policy of each refusal.
    """

    def __init__(
        self,
        policies: Policies | None,
        *,
        limiters: Limiters,
        digest: Callable[[bytes], bytes],
        map_in_force: Callable[[], "MapInForce"],
        refused: Callable[[str], None],
    ) -> None:
        self.policies = policies
        self.limiters = limiters
        self._digest = digest
        self._map = map_in_force
        self._refused = refused

    def admit(self, context: Context, signals: Signals, user: User | None) -> None:
        """Count one request of a verified user, or of an address that is nobody yet. Raises RateLimited."""
        if self.policies is None:
            return
        if user is not None:
            limiter = self._limiter(Signals(user=signals.user))
            self._count(context, USER, limiter, f"u:{user.id.hex}", self.policies.user)
        else:
            key = f"a:{self._address(signals)}"
            self._count(context, ADDRESS, self._limiter(_of_network(signals)), key, self.policies.address)

    def attempt_of(self, context: Context, signals: Signals, user: User) -> Attempt:
        """Count one attempt of a verified user at their own credentials. Raises RateLimited."""
        if self.policies is not None:
            limiter = self._limiter(Signals(user=signals.user))
            self._count(context, CREDENTIALS, limiter, f"c:u:{user.id.hex}", self.policies.credentials)
        return NO_ATTEMPT

    def attempt(self, context: Context, decision: Decision) -> Attempt:
        """Count one attempt at somebody's credentials. Raises RateLimited."""
        if self.policies is None:
            return NO_ATTEMPT
        signals, limit = decision.signals, self.policies.credentials_by_address
        key = f"c:a:{self._address(signals)}"
        self._count(context, CREDENTIALS_BY_ADDRESS, self._limiter(_of_network(signals)), key, limit)
        number = _number(decision)
        if number is None:
            return NO_ATTEMPT
        limiter, digest = self._limiter(Signals(phone=number)), self._digest(number.encode()).hex()
        client = self._map().geography.client_of(signals)
        if client is None:
            self._count(context, CREDENTIALS, limiter, f"c:i:{digest}", self.policies.credentials)
            return NO_ATTEMPT
        familiar = f"known:{digest}:{shorten(client)}"
        key = f"c:i:{digest}:{shorten(client)}" if limiter.is_marked(familiar) else f"c:i:{digest}"
        self._count(context, CREDENTIALS, limiter, key, self.policies.credentials)
        return Attempt(limiter, familiar)

    def _count(self, context: Context, policy: str, limiter: Limiter, key: str, limit: Limit) -> None:
        verdict = limiter.admit(key, limit)
        context.standings.append(Standing(policy, limit, verdict))
        if not verdict.admitted:
            self._refused(policy)
            raise RateLimited(
                f"too many requests by the limit `{policy}`; wait", retry_after_s=seconds_up(verdict.retry_us)
            )

    def _limiter(self, signals: Signals) -> Limiter:
        in_force = self._map()
        try:
            region = in_force.geography.decide(signals).region.name
        except MeridianError:  # no region serves them: they are counted all the same
            region = in_force.shard_map.default_region
        return self.limiters.of(region)

    def _address(self, signals: Signals) -> str:
        client = self._map().geography.client_of(signals)
        if client is None:
            return _UNKNOWN
        return f"{int(client) >> _SUBNET_BITS:x}" if isinstance(client, IPv6Address) else str(client)


def tell(response: web.StreamResponse, context: Context) -> None:
    """Put the header fields of draft-ietf-httpapi-ratelimit-headers on an answer that was counted."""
    if context.standings:
        response.headers[POLICY_HEADER] = policy_field(context.standings)
        response.headers[LIMIT_HEADER] = limit_field(context.standings)


def _of_network(signals: Signals) -> Signals:
    """What the network says of a request, and nothing that its sender may choose."""
    return Signals(
        country=signals.country, peer=signals.peer, forwarded_for=signals.forwarded_for, vouched=signals.vouched
    )


def _number(decision: Decision) -> str | None:
    """The phone number tried, in its one spelling; None where there is none, or none that could belong to anybody."""
    if decision.signals.phone is None:
        return None
    try:
        return parse_phone(decision.signals.phone, decision.region.phone.country).e164
    except Invalid:
        return None

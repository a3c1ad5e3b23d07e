"""The rate limits as settings name them, and as the `RateLimit` header fields tell clients."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.limiter import MICROSECONDS, Limit, Verdict
from core.limits import LIMIT_COUNT_MAX, LIMIT_PERIOD_MAX_S

ADDRESS_SHARE: Final = 10
"""How many times the limit of one login identifier an address may try: many people stand behind one address."""

_FORM: Final = re.compile(r"([0-9]{1,9})/([0-9]{1,9})s?")


def parse_limit(text: str) -> Limit:
    """Read `600/60s`: that many at once, and that many again in each such span. Raises ValueError saying why not."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError("must be a count and seconds, as in 600/60s")
    count, period_s = int(match[1]), int(match[2])
    if not 1 <= count <= LIMIT_COUNT_MAX:
        raise ValueError(f"must allow between 1 and {LIMIT_COUNT_MAX}")
    if not 1 <= period_s <= LIMIT_PERIOD_MAX_S:
        raise ValueError(f"must be over 1 to {LIMIT_PERIOD_MAX_S} seconds")
    return Limit(count, period_s * MICROSECONDS)


@dataclass(frozen=True, slots=True)
class Policies:
    """What each verified user, each address of callers who are nobody yet, and each login identifier may do."""

    user: Limit
    address: Limit
    credentials: Limit

    @property
    def credentials_by_address(self) -> Limit:
        """What all login identifiers together may be tried with from one address."""
        return Limit(self.credentials.count * ADDRESS_SHARE, self.credentials.period_us)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request stands with one policy."""

    policy: str
    limit: Limit
    verdict: Verdict


def policy_field(standings: Sequence[Standing]) -> str:
    """The value of `RateLimit-Policy`: what may be used (`q`) in how many seconds (`w`), for each policy."""
    return ", ".join(f'"{s.policy}";q={s.limit.count};w={s.limit.period_us // MICROSECONDS}' for s in standings)


def limit_field(standings: Sequence[Standing]) -> str:
    """The value of `RateLimit`: what is left (`r`), and in how many seconds (`t`) all of it is there again."""
    return ", ".join(f'"{s.policy}";r={s.verdict.remaining};t={seconds_up(s.verdict.reset_us)}' for s in standings)


def seconds_up(microseconds: int) -> int:
    """Whole seconds, rounded up."""
    return -(-max(0, microseconds) // MICROSECONDS)

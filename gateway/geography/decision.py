"""The words of geography as values: what a request said, what was decided, and what each signal had to say."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from core.ids import Placement
from core.shard_map.model import RegionName, RegionSpec
from gateway.geography.address import IPAddress


class Signal(StrEnum):
    """What can decide a region; the order of the members is the order of precedence."""

    ID = "id"
    USER = "user"
    EXPLICIT = "explicit"
    PHONE = "phone"
    COUNTRY = "country"
    ADDRESS = "address"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Vouched:
    """What an edge signed of the client: two letters for the country, and the address if it named one.

    `refused` says why none of it is believed; empty for a good signature.
    """

    country: str
    client: IPAddress | None = field(default=None, repr=False)
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Signals:
    """The raw inputs of one request; None where it has none. Private values stay out of the repr, and so out of logs.

    `user` is the home of a *verified* token or session. `explicit` is X-Region, `country` the edge's country header,
    `forwarded_for` all X-Forwarded-For lines joined by commas. `phone` is given only at registration and login.
    `peer` is the socket's address without its port; None or empty on a unix socket. `vouched` is what an edge signed:
    with a good signature it takes the place of `country` and `forwarded_for`, whoever the peer is.
    """

    id: UUID | None = None
    user: Placement | None = None
    explicit: str | None = None
    phone: str | None = field(default=None, repr=False)
    country: str | None = None
    peer: str | None = field(default=None, repr=False)
    forwarded_for: str | None = field(default=None, repr=False)
    vouched: Vouched | None = None

    @property
    def signed(self) -> Vouched | None:
        """What an edge vouched for with a good signature."""
        return None if self.vouched is None or self.vouched.refused else self.vouched


@dataclass(frozen=True, slots=True)
class Decision:
    """The region of a request and the signal that decided it; `bucket` is known only by id and by user."""

    region: RegionSpec
    bucket: int | None
    by: Signal
    signals: Signals


@dataclass(frozen=True, slots=True)
class Seen:
    """One signal of a request: its value without private parts, the region it names if any, what became of it."""

    signal: Signal
    value: str
    region: RegionName | None
    note: str

"""What the system has promised: each acknowledged write, and each of which nobody knows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

KINDS = ("address", "vehicle", "request", "upload")
LANDS_WITHIN_S = 30.0  # what was sent to a server that did not answer may be done when it answers again, not later


@dataclass
class Values:
    """What a field may hold: the value last acknowledged, and each of which nobody knows, with the time until which its
    write may land after all, even after the acknowledged one.
    """

    known: str
    unknown: dict[str, float] = field(default_factory=dict)

    def may_be(self, value: object) -> bool:
        """Whether the field may hold this now."""
        return value == self.known or value in self.unknown

    def __str__(self) -> str:
        return " or ".join([self.known, *self.unknown])


@dataclass
class Expected:
    """One row: its value, and whether it may be there or not."""

    value: Values
    surely_there: bool = True
    maybe_there: bool = True


@dataclass
class Account:
    """All that one user was promised.

    `rows[kind][id]` are the creates that were acknowledged. `attempts[kind]` holds a mark for every create that was
    ever sent, with the id that was acknowledged for it (None: nobody knows).
    """

    region: str
    phone: str
    id: UUID
    name: Values
    rows: dict[str, dict[UUID, Expected]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    attempts: dict[str, dict[str, UUID | None]] = field(default_factory=lambda: {kind: {} for kind in KINDS})


@dataclass
class Ledger:
    """Every account, every violation found, and how many writes were acknowledged or stayed unknown."""

    clock: Callable[[], float]
    accounts: list[Account] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    acknowledged: int = 0
    unknown: int = 0

    def violated(self, what: str) -> None:
        """Note a broken promise."""
        self.violations.append(what)

    def registered(self, account: Account) -> None:
        """A user has an account."""
        self.acknowledged += 1
        self.accounts.append(account)

    def created(self, account: Account, kind: str, mark: str, id: UUID, value: str) -> None:
        """A create was acknowledged."""
        self.acknowledged += 1
        account.attempts[kind][mark] = id
        account.rows[kind][id] = Expected(Values(value))

    def changed(self, values: Values, value: str, *, known: bool) -> None:
        """A change was acknowledged, or may have happened or still happen."""
        now = self.clock()
        self._count(known=known)
        if known:
            values.known = value
            values.unknown = {other: until for other, until in values.unknown.items() if until > now}
        else:
            values.unknown[value] = now + LANDS_WITHIN_S

    def removed(self, row: Expected, *, known: bool) -> None:
        """A removal was acknowledged, or may have happened."""
        self._count(known=known)
        row.surely_there = False
        row.maybe_there = row.maybe_there and not known

    def _count(self, *, known: bool) -> None:
        self.acknowledged += known
        self.unknown += not known

"""What the system has promised: each acknowledged write, and each of which nobody knows."""

from dataclasses import dataclass, field
from uuid import UUID

KINDS = ("address", "vehicle", "request", "upload")


@dataclass
class Expected:
    """One row: the values it may have now (more than one after a write of unknown outcome), and whether it may be
    there or not.
    """

    values: set[str]
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
    names: set[str]
    rows: dict[str, dict[UUID, Expected]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    attempts: dict[str, dict[str, UUID | None]] = field(default_factory=lambda: {kind: {} for kind in KINDS})


@dataclass
class Ledger:
    """Every account, every violation found, and how many writes were acknowledged or stayed unknown."""

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
        account.rows[kind][id] = Expected({value})

    def renamed(self, account: Account, name: str, *, known: bool) -> None:
        """A user has another name, or may have it."""
        self._count(known=known)
        account.names = {name} if known else account.names | {name}

    def changed(self, row: Expected, value: str, *, known: bool) -> None:
        """A change was acknowledged, or may have happened."""
        self._count(known=known)
        row.values = {value} if known else row.values | {value}

    def removed(self, row: Expected, *, known: bool) -> None:
        """A removal was acknowledged, or may have happened."""
        self._count(known=known)
        row.surely_there = False
        row.maybe_there = row.maybe_there and not known

    def _count(self, *, known: bool) -> None:
        self.acknowledged += known
        self.unknown += not known

"""One PostgreSQL cluster: reads on a replica that is recent enough, writes on the one primary."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, TypeVar

from core.changes import OnChange
from core.database.evidence import LagClock, Roles, assign
from core.database.node import Node
from core.database.settings import DatabaseSettings, Login
from core.database.statement import RECEIPT_SQL, Query, ReceiptKey, Row, Write, compose
from core.database.token import LSN_UNKNOWN, TokenEntry
from core.database.translate import NodeLost, RecoveryConflict, Refused, RoleChanged
from core.errors import (
    Conflict,
    DeadlineExceeded,
    FieldError,
    Invalid,
    MeridianError,
    OutcomeUnknown,
    ShardUnavailable,
    Unavailable,
    WriteLost,
)
from core.limits import DRAIN_S, PROBE_TIMEOUT_S, READ_ATTEMPTS_MAX, REPLICA_WAIT_S, WRITE_ATTEMPTS_MAX
from core.shard_map.model import Address, ShardSpec

T = TypeVar("T")


class Consistency(StrEnum):
    """How recent a read must be: any replica within the lag bound, the caller's own past, or the primary."""

    EVENTUAL = "eventual"
    SESSION = "session"
    STRONG = "strong"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a statement must keep to: the deadline (loop seconds), how recent, and what the caller has seen."""

    deadline: float
    consistency: Consistency = Consistency.SESSION
    seen: TokenEntry | None = None


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """An answer, the role of the node that gave it, and the position it shows (None: none promised).

    `replayed`: it is the stored outcome of an earlier identical write. `age_s`: the shard has had no primary for so
    many seconds, and there may be writes that this answer does not show; None while there is one.
    """

    value: T
    role: str
    position: TokenEntry | None
    replayed: bool = False
    age_s: int | None = None


class Shard:
    """A shard's nodes with their observed roles. `name` and `spec` are the map's."""

    def __init__(
        self,
        spec: ShardSpec,
        *,
        settings: DatabaseSettings,
        clock: Callable[[], float],
        buckets_changed: Callable[[], None],
        on_event: OnChange,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.roles = Roles()
        self.lag_clock = LagClock()
        self.reads_that_wrote = 0
        self._settings = settings
        self._clock = clock
        self._on_event = on_event
        self._primary_seen_at = clock()
        login = Login(spec.database, spec.user, spec.password.reveal())
        self.nodes = {
            at: Node(
                at,
                login=login,
                settings=settings,
                clock=clock,
                changed=self._look_at_roles,
                buckets_changed=buckets_changed,
                on_change=self._tell,
            )
            for at in spec.addresses
        }

    async def open(self) -> None:
        """Watch every node, and wait until each was looked at once (bounded); dead nodes do not stop it."""
        for node in self.nodes.values():
            node.open()
        await asyncio.gather(*(node.watch.first_look(PROBE_TIMEOUT_S) for node in self.nodes.values()))

    async def close(self, timeout_s: float = DRAIN_S) -> None:
        """Let statements end for `timeout_s` seconds, then cut them."""
        await asyncio.gather(*(node.close(timeout_s) for node in self.nodes.values()))

    def now(self) -> float:
        """The shard's clock (loop seconds), to tell how old evidence is."""
        return self._clock()

    def lag_ms(self, at: Address) -> int | None:
        """How far the node is behind the primary; None when it was never seen."""
        evidence = self.nodes[at].state.evidence
        return None if evidence is None else self.lag_clock.lag_ms(evidence)

    async def read(self, query: Query[T], terms: Terms) -> Reply[list[T]]:
        """The rows of a query, from the best node that satisfies `terms`; another node is tried when one is lost.

        Raises WriteLost when the caller has seen what a failover cut off.
        """
        self._refuse_lost(terms)
        rows, role, position = await self._read(query.sql, query.args, terms)
        age_s = None if self.roles.primary is not None else max(1, round(self._clock() - self._primary_seen_at))
        return Reply([query.row(row) for row in rows], role, position, age_s=age_s)

    async def write(self, write: Write[T], terms: Terms, receipt: ReceiptKey | None = None) -> Reply[T]:
        """Do one write on the primary, in one round trip; with a receipt it can be repeated safely.

        Raises what the write declares (`if_none`, `refusals`), WrongShard when this shard does not own the bucket,
        OutcomeUnknown when the answer was lost, ShardUnavailable at once when no primary is known, WriteLost before
        anything is sent when the caller has seen what a failover cut off.
        """
        self._refuse_lost(terms)
        sql, args = compose(write, receipt)
        repeated = False
        try:
            node, rows, repeated = await self._on_primary(
                lambda node: node.fetch(sql, args, deadline=terms.deadline, writes=True, lock=write.lock),
                deadline=terms.deadline,
                repeatable=receipt is not None,
            )
        except Refused as exc:
            failure = _refusal(write.refusals.get(exc.constraint, "this contradicts what is stored"))
            repeated = exc.repeated
        except (Conflict, OutcomeUnknown) as exc:
            failure = exc
        else:
            if rows:
                return Reply(write.row(rows[0]), "primary", await self._position(node, terms))
            failure = write.if_none
        outcome = None if receipt is None else await self._outcome_instead_of(failure, receipt, write, terms, repeated)
        if outcome is None:
            raise failure
        return outcome

    async def _outcome_instead_of(
        self, failure: MeridianError, receipt: ReceiptKey, write: Write[T], terms: Terms, repeated: bool
    ) -> Reply[T] | None:
        """The stored outcome, if any. That it cannot be asked for does not make an unknown outcome a known one.

        `repeated`: the failure is that of a second try, which says nothing of the first.
        """
        try:
            return await self._outcome(receipt, write, terms)
        except (Unavailable, DeadlineExceeded):
            if isinstance(failure, OutcomeUnknown):
                raise failure from None
            if repeated:
                raise OutcomeUnknown("the write was cut off; it may or may not have happened") from None
            raise

    async def _outcome(self, receipt: ReceiptKey, write: Write[T], terms: Terms) -> Reply[T] | None:
        """The stored outcome of an earlier write with this key, if any; the same request must have made it."""
        strong = Terms(terms.deadline, Consistency.STRONG)
        rows, role, position = await self._read(RECEIPT_SQL, (write.bucket, receipt.owner, receipt.key), strong)
        if not rows:
            return None
        if rows[0]["fingerprint"] != receipt.fingerprint:
            raise Invalid([FieldError("Idempotency-Key", "was already used for a different request")])
        return Reply(write.row(rows[0]["outcome"]), role, position, replayed=True)

    async def _read(self, sql: str, args: Sequence[object], terms: Terms) -> tuple[list[Row], str, TokenEntry | None]:
        tried: set[Address] = set()
        failure: MeridianError = ShardUnavailable(self._why_unreadable())
        for _ in range(READ_ATTEMPTS_MAX):
            node = await self._reader(terms, tried)
            if node is None:
                break
            try:
                rows = await node.fetch(sql, args, deadline=terms.deadline, writes=False)
            except NodeLost as exc:
                failure = exc
                await node.lost()
            except RoleChanged as exc:
                failure = exc
                self._note_role_change(node, sql)
                terms = replace(terms, consistency=Consistency.STRONG)
                node.watch.look_again()
            except RecoveryConflict as exc:
                failure = exc
            else:
                role = "primary" if node.at == self.roles.primary else "replica"
                return rows, role, await self._shown(node, terms)
            tried.add(node.at)
        raise ShardUnavailable(failure.detail)

    async def _reader(self, terms: Terms, tried: set[Address]) -> Node | None:
        """The node to read from: a covering replica, one that covers soon, or the primary.

        A node on an older timeline than the caller has seen is no candidate: it was cut off by a failover, and what it
        has at the same position is something else.
        """
        timeline, lsn = self._needed(terms)
        primary = self._untried(self.roles.primary, tried, timeline)
        if terms.consistency is Consistency.STRONG:
            return primary
        able = (self._untried(at, tried, timeline) for at in self.roles.replicas)
        replicas = [node for node in able if node is not None]
        recent = [node for node in replicas if (self.lag_ms(node.at) or 0) <= self._settings.lag_max_ms]
        covering = [node for node in recent if _lsn(node) >= lsn]
        if covering:
            return min(covering, key=lambda node: node.busy)
        if recent and lsn != LSN_UNKNOWN:
            best = max(recent, key=_lsn)
            patience = min(REPLICA_WAIT_S, max(0.0, terms.deadline - self._clock()))
            if await best.watch.reaches(lsn, patience):
                return best
        return primary or next((node for node in replicas if _lsn(node) >= lsn), None)

    def _untried(self, at: Address | None, tried: set[Address], timeline: int) -> Node | None:
        node = None if at is None or at in tried else self.nodes[at]
        if node is None or not node.admits:
            return None
        evidence = node.state.evidence
        return node if evidence is not None and evidence.timeline >= timeline else None

    def _needed(self, terms: Terms) -> tuple[int, int]:
        """The timeline and position that a node must have for this read."""
        seen = self._seen(terms)
        return (0, 0) if seen is None or terms.consistency is Consistency.EVENTUAL else (seen.timeline, seen.lsn)

    def _seen(self, terms: Terms) -> TokenEntry | None:
        """What the caller has seen of this very cluster."""
        return terms.seen if terms.seen is not None and terms.seen.system_id == self.roles.system_id else None

    def _refuse_lost(self, terms: Terms) -> None:
        seen, lineage = self._seen(terms), self.roles.lineage
        if seen is None or terms.consistency is Consistency.EVENTUAL or lineage.holds(seen.timeline, seen.lsn):
            return
        raise WriteLost(
            f"shard {self.name} failed over, and what you had last seen of it was lost or cannot be proven to be kept;"
            " read again, and repeat what is missing",
            standing=TokenEntry(self.name, seen.system_id, lineage.now, 0),
        )

    async def _shown(self, node: Node, terms: Terms) -> TokenEntry | None:
        """The position that a reader of `node` has now seen, so that later reads do not go back in time.

        The only replica of a shard never goes back, and the primary is ahead of it, so there what is known is enough;
        otherwise an observation made after the read is an upper bound of what it saw.
        """
        if terms.consistency is Consistency.EVENTUAL:
            return None
        if node.at != self.roles.primary and len(self.nodes) <= 2:
            evidence = node.state.evidence
            return (
                None if evidence is None else TokenEntry(self.name, evidence.system_id, evidence.timeline, evidence.lsn)
            )
        return await self._position(node, terms)

    async def _position(self, node: Node, terms: Terms) -> TokenEntry | None:
        """Where `node` is now: at or beyond whatever it has just committed or shown.

        When it cannot say, the position is unknown, which only the primary satisfies; None would let an acknowledged
        write be missed.
        """
        try:
            evidence = await node.watch.position(min(terms.deadline, self._clock() + PROBE_TIMEOUT_S))
        except (OSError, TimeoutError):
            if self.roles.system_id is None:
                return None
            return TokenEntry(self.name, self.roles.system_id, self.roles.timeline, LSN_UNKNOWN)
        return TokenEntry(self.name, evidence.system_id, evidence.timeline, evidence.lsn)

    async def _on_primary(
        self, run: Callable[[Node], Awaitable[T]], *, deadline: float, repeatable: bool
    ) -> tuple[Node, T, bool]:
        """Run on the primary. A second try only if nothing had been sent, or if the write carries a receipt.

        Answers the node, what it said, and whether that was to a second try after a first that had been sent.

        Once something was sent and no answer came, every failure but a refused row is OutcomeUnknown, whatever became
        of the second try.
        """
        sent = False
        node = self._primary()
        for attempt in range(1, WRITE_ATTEMPTS_MAX + 1):
            try:
                return node, await run(node), sent
            except NodeLost as exc:
                await node.lost()
                sent, failure = sent or exc.sent, exc.detail
            except RoleChanged as exc:
                node.watch.look_again()
                failure = exc.detail
            except Refused as exc:
                exc.repeated = sent
                raise  # by a row that is there: ours, if the first try got through, and then its outcome is stored
            except MeridianError as exc:
                if not sent:
                    raise
                failure = exc.detail  # of the second try: it says nothing of the first
            if attempt == WRITE_ATTEMPTS_MAX or (sent and not repeatable) or self._clock() >= deadline:
                break
            try:
                node = await self._primary_again(deadline)
            except ShardUnavailable as exc:
                failure = exc.detail
                break
        if sent:
            raise OutcomeUnknown(f"{failure}; the write may or may not have happened")
        raise ShardUnavailable(f"shard {self.name}: {failure}")

    def _primary(self) -> Node:
        if self.roles.primary is None:
            reason = self.roles.alarm or "no primary answers"
            raise ShardUnavailable(f"shard {self.name} cannot be written to: {reason}")
        node = self.nodes[self.roles.primary]
        if not node.admits:
            raise ShardUnavailable(f"shard {self.name} cannot be written to: its primary fails again and again")
        return node

    async def _primary_again(self, deadline: float) -> Node:
        """The primary after every node was looked at anew."""
        look_until = min(deadline, self._clock() + PROBE_TIMEOUT_S)
        await asyncio.gather(*(node.watch.position(look_until) for node in self.nodes.values()), return_exceptions=True)
        return self._primary()

    def _why_unreadable(self) -> str:
        states = ", ".join(f"{at}: {node.state.reason or node.state.reach}" for at, node in self.nodes.items())
        return f"shard {self.name} has no node that can answer this read ({states})"

    def _note_role_change(self, node: Node, sql: str) -> None:
        state = node.state.evidence
        if state is not None and state.in_recovery:
            self.reads_that_wrote += 1
            self._on_event("read_operation_wrote", {"shard": self.name, "sql": sql.split(maxsplit=6)[:6]})

    def _look_at_roles(self) -> None:
        now = self._clock()
        before = self.roles
        self.roles = assign(before, {at: node.state for at, node in self.nodes.items()}, now)
        for node in self.nodes.values():
            node.watch.hurries = self.roles.primary is None
        if self.roles.primary is not None:
            evidence = self.nodes[self.roles.primary].state.evidence
            if evidence is not None:
                self._primary_seen_at = evidence.seen_at
                self.lag_clock.primary_at(evidence.lsn, evidence.seen_at)
        if (before.primary, before.replicas, before.alarm) != (
            self.roles.primary,
            self.roles.replicas,
            self.roles.alarm,
        ):
            self._tell_roles()

    def _tell_roles(self) -> None:
        roles = self.roles
        self._tell(
            "shard_roles",
            {
                "primary": str(roles.primary) if roles.primary else None,
                "replicas": [str(at) for at in roles.replicas],
                "timeline": roles.timeline,
                "alarm": roles.alarm,
            },
        )

    def _tell(self, event: str, details: dict[str, object]) -> None:
        self._on_event(event, {"shard": self.name, **details})


def _refusal(said: str | MeridianError) -> MeridianError:
    return Conflict(said) if isinstance(said, str) else said


def _lsn(node: Node) -> int:
    evidence = node.state.evidence
    return -1 if evidence is None else evidence.lsn

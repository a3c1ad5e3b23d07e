"""The decision as `GET /api/v1/route` answers it and `meridian route` prints it."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from gateway.geography.decision import Decision, Seen, Signal


class RouteView(BaseModel):
    """Where a request goes and why; `shard` and `epoch` are known only where a bucket is."""

    model_config = ConfigDict(frozen=True)

    region: str
    bucket: int | None
    by: Signal
    shard: str | None = None
    epoch: int | None = None
    seen: tuple[Seen, ...]

    @classmethod
    def from_decision(
        cls, decision: Decision, seen: Sequence[Seen], *, shard: str | None = None, epoch: int | None = None
    ) -> "RouteView":
        """The view of a decision and of its explanation (`Geography.explain`)."""
        return cls(
            region=decision.region.name,
            bucket=decision.bucket,
            by=decision.by,
            shard=shard,
            epoch=epoch,
            seen=tuple(seen),
        )

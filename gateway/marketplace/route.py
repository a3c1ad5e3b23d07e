"""GET /route: why a request goes where it goes."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from core.errors import FieldError, Invalid
from gateway.geography.decision import Decision
from gateway.geography.imagined import IMAGINED_TRUST, imagine
from gateway.geography.resolve import Geography
from gateway.geography.view import RouteView
from gateway.operations import READ, Api, Call, Input

api = Api("/route", tag="route")


class Question(Input):
    """Ask about a country, an id or a phone number; with none of them, about this very request."""

    country: Annotated[str, Field(max_length=2)] | None = Field(None, description="A country's two letters, like QA.")
    id: UUID | None = Field(None, description="The id of anything.")
    phone: Annotated[str, Field(max_length=40)] | None = Field(
        None, description="A phone number in international form, like +974 3312 3456."
    )


@api.get("", intent=READ, public=True, errors=["not_found", "region_unavailable"])
async def route(call: Call, question: Question) -> RouteView:
    """The decision for this caller, or for `?country=`, `?id=` or `?phone=`, with every signal seen."""
    asked = question.given()
    if len(asked) > 1:
        raise Invalid([FieldError(name, "ask about one thing at a time") for name in asked])
    geography = call.runtime.map.geography
    decision = call.decision
    if asked:
        geography = Geography(call.runtime.map.shard_map, trusted=IMAGINED_TRUST)
        decision = geography.decide(imagine(**asked))
    return located(call, decision, geography)


def located(call: Call, decision: Decision, geography: Geography) -> RouteView:
    """A decision with its explanation and, where a bucket is known, the shard that holds it now."""
    shard, epoch = None, None
    if decision.bucket is not None:
        ownership = call.runtime.fleet.regions[decision.region.name].ownership
        shard, epoch = ownership.owner(decision.bucket), ownership.epoch_of(decision.bucket)
    return RouteView.from_decision(decision, geography.explain(decision), shard=shard, epoch=epoch)

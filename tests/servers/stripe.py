"""A Stripe for tests: a real server with the few calls that are used of it, its idempotency keys and its refusals."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import web

from tests.system import free_port

Json = dict[str, Any]
KEY, WEBHOOK_SECRET = "sk_test_a-key-of-tests", "whsec_a-secret-of-tests"
CARD, DECLINED, PENDING = "pm_card", "pm_declined", "pm_pending"
THREE_DECIMALS = ("bhd", "jod", "kwd", "omr", "tnd")


class Refusal(Exception):
    """An error as Stripe answers it."""

    def __init__(self, status: int, type: str, code: str, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.body: Json = {"error": {"type": type, "code": code, "message": f"no: {code}", **more}}


@dataclass
class StripeServer:
    """What Stripe knows, on a port that stays the same when it goes and comes back."""

    port: int = field(default_factory=free_port)
    intents: dict[str, Json] = field(default_factory=dict)
    refunds: dict[str, Json] = field(default_factory=dict)
    refund_status: str = "succeeded"
    keys: dict[str, tuple[Json, int, Json]] = field(default_factory=dict)
    runner: web.AppRunner | None = None
    _numbers: Any = field(default_factory=count)

    @property
    def url(self) -> str:
        """Its address, as STRIPE_API_BASE has it."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_route("*", "/v1/{tail:.*}", self._answer)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Close every connection and listen no more."""
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None

    def forget_keys(self) -> None:
        """A day has passed."""
        self.keys.clear()

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"error": {"type": "invalid_request_error", "message": "bad key"}}, status=401)
        form = dict(await request.post()) if request.method == "POST" else dict(request.query)
        key = request.headers.get("Idempotency-Key", "")
        if request.method == "POST" and key in self.keys:
            said, status, body = self.keys[key]
            if said != form:
                return web.json_response({"error": {"type": "idempotency_error", "message": "other"}}, status=400)
            return web.json_response(body, status=status)
        try:
            status, body = 200, self._do(request.method, request.match_info["tail"].split("/"), form)
        except Refusal as exc:
            status, body = exc.status, exc.body
        if request.method == "POST":
            self.keys[key] = (form, status, json.loads(json.dumps(body)))
        return web.json_response(body, status=status)

    def _do(self, method: str, path: list[str], form: Mapping[str, Any]) -> Json:
        match method, path:
            case "POST", ["payment_intents"]:
                return self._create(form)
            case "GET", ["payment_intents", id]:
                return self._intent(id)
            case "POST", ["payment_intents", id, "confirm"]:
                return self._confirm(self._intent(id), form["payment_method"])
            case "POST", ["payment_intents", id, "cancel"]:
                return self._cancel(self._intent(id))
            case "POST", ["refunds"]:
                return self._refund(form)
            case "GET", ["refunds"]:
                found = [r for r in self.refunds.values() if r["payment_intent"] == form["payment_intent"]]
                return {"object": "list", "data": found, "has_more": False, "url": "/v1/refunds"}
        raise Refusal(404, "invalid_request_error", "resource_missing")

    def _create(self, form: Mapping[str, Any]) -> Json:
        if form["currency"] in THREE_DECIMALS and int(form["amount"]) % 10:
            raise Refusal(400, "invalid_request_error", "amount_invalid", param="amount")
        id = f"pi_{next(self._numbers)}"
        self.intents[id] = {
            "id": id,
            "object": "payment_intent",
            "amount": int(form["amount"]),
            "currency": form["currency"],
            "client_secret": f"{id}_secret",
            "status": "requires_payment_method",
            "cancellation_reason": None,
            "metadata": {"payment": form["metadata[payment]"], "order": form["metadata[order]"]},
        }
        return self.intents[id]

    def _intent(self, id: str) -> Json:
        if id not in self.intents:
            raise Refusal(404, "invalid_request_error", "resource_missing", param="intent")
        return self.intents[id]

    def _confirm(self, intent: Json, method: str) -> Json:
        if intent["status"] in ("succeeded", "canceled"):
            raise Refusal(400, "invalid_request_error", "payment_intent_unexpected_state")
        if method == DECLINED:
            raise Refusal(402, "card_error", "card_declined")
        if method not in (CARD, PENDING):
            raise Refusal(404, "invalid_request_error", "resource_missing", param="payment_method")
        intent["status"] = "succeeded" if method == CARD else "requires_action"
        return intent

    def _cancel(self, intent: Json) -> Json:
        if intent["status"] in ("succeeded", "canceled"):
            raise Refusal(400, "invalid_request_error", "payment_intent_unexpected_state")
        intent["status"] = "canceled"
        return intent

    def _refund(self, form: Mapping[str, Any]) -> Json:
        intent, amount = self._intent(form["payment_intent"]), int(form["amount"])
        before = sum(r["amount"] for r in self.refunds.values() if r["payment_intent"] == intent["id"])
        if intent["status"] != "succeeded" or before + amount > intent["amount"]:
            raise Refusal(400, "invalid_request_error", "charge_already_refunded")
        id = f"re_{next(self._numbers)}"
        self.refunds[id] = {
            "id": id,
            "object": "refund",
            "amount": amount,
            "payment_intent": intent["id"],
            "status": self.refund_status,
            "metadata": {"refund": form["metadata[refund]"], "payment": form["metadata[payment]"]},
        }
        return self.refunds[id]


def event(id: str, type: str, about: Mapping[str, Any], *, at_s: float | None = None) -> tuple[bytes, dict[str, str]]:
    """The body and headers by which Stripe tells of an event, as its documentation says they are signed."""
    body = json.dumps({"id": id, "object": "event", "type": type, "data": {"object": dict(about)}}).encode()
    at = str(int(time.time() if at_s is None else at_s))
    digest = hmac.new(WEBHOOK_SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {"Stripe-Signature": f"t={at},v1={digest},v0=old", "Content-Type": "application/json"}

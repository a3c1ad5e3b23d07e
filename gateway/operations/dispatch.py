"""One operation as an aiohttp handler: who, may they, parse, where, run, render. The line every request travels."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast
from uuid import UUID

from aiohttp import web

from core.database.shard import Consistency
from core.database.statement import ReceiptKey
from core.database.token import Token
from core.errors import FieldError, Forbidden, Invalid, Malformed, Unauthenticated, WriteLost
from core.ids import placement_of
from core.limits import IDEMPOTENCY_KEY_CHARS_MAX
from core.region import Ask
from edge.vouching import HEADER as VOUCHED
from gateway.admission import NO_ATTEMPT, Attempt
from gateway.boundary import CONTEXT, Context
from gateway.credentials import User
from gateway.geography import headers
from gateway.geography.decision import Decision, Signals, Vouched
from gateway.geography.vouched import read_vouched
from gateway.operations.binding import Binder
from gateway.operations.call import Call, Cookie
from gateway.operations.downloads import Download, send
from gateway.operations.operation import Operation
from gateway.operations.rendering import render
from gateway.operations.sharing import shared_fields, tell_changes
from gateway.operations.streams import Csv, stream
from gateway.runtime import Runtime
from gateway.who import SESSION_COOKIE, who

TOKEN_HEADER: Final = "Consistency-Token"  # noqa: S105  a header's name
TOKEN_COOKIE: Final = "meridian_consistency"  # noqa: S105  a cookie's name
CONSISTENCY_HEADER: Final = "Consistency"
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
_NOBODY: Final = UUID(int=0)
_READ: Final = web.RequestKey("vouched", Vouched)
_STRENGTH: Final = [Consistency.EVENTUAL, Consistency.SESSION, Consistency.STRONG]


def handler_of(operation: Operation, runtime: Runtime) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of an operation."""
    binder = Binder(operation, cursors=runtime.cursors)

    async def handle(request: web.Request) -> web.StreamResponse:
        context = request[CONTEXT]
        context.operation = operation.name
        if operation.longest_s is not None and not operation.table:
            context.allow(operation.longest_s)
        user = await _admitted(request, runtime, context)
        _authorise(user, operation)
        arguments, body = await binder.arguments(request)
        signals = _signals(request, runtime, user, operation, arguments)
        decision = context.decision = runtime.map.geography.decide(signals)
        attempt = _attempt(operation, runtime, context, decision, user)
        call = Call(
            runtime,
            user=user,
            decision=decision,
            ask=_ask(request, runtime, operation, context.deadline),
            receipt=_receipt(request, runtime, user, body),
        )
        context.call = call
        context.dress = lambda response: _dress(response, call, request)
        try:
            result = await operation.handler(call, **arguments)
        except WriteLost as exc:
            call.see(exc.standing)
            raise
        attempt.succeeded()
        if isinstance(result, Download):
            return await send(result, request, dress=context.dress)
        if isinstance(result, Csv):
            context.allow(operation.longest_s or runtime.settings.request_timeout_s)
            return await stream(result, request, dress=context.dress)
        shared = shared_fields(operation, call, arguments, result)
        response = render(result, operation, request, shared=shared)
        if shared is None:
            _dress(response, call, request)
        elif call.shown.entries:
            response.headers[TOKEN_HEADER] = runtime.tokens.text(call.shown)
        tell_changes(response, call)
        return response

    return handle


async def _admitted(request: web.Request, runtime: Runtime, context: Context) -> User | None:
    """Who is calling, counted against their limit before anything else is done for them."""
    try:
        user = await who(request, runtime)
    except (Unauthenticated, Forbidden):
        runtime.admission.admit(context, signals_of(request, runtime, None), None)
        raise
    runtime.admission.admit(context, signals_of(request, runtime, user), user)
    return user


def _attempt(
    operation: Operation, runtime: Runtime, context: Context, decision: Decision, user: User | None
) -> Attempt:
    if not operation.attempt:
        return NO_ATTEMPT
    if operation.public or user is None:
        return runtime.admission.attempt(context, decision)
    return runtime.admission.attempt_of(context, decision.signals, user)


def _signals(
    request: web.Request, runtime: Runtime, user: User | None, operation: Operation, arguments: dict[str, Any]
) -> Signals:
    if operation.raw is not None and operation.public:
        # A signed message comes from a machine: the country where that stands says nothing about whose message it is.
        return Signals(explicit=request.headers.get(headers.REGION))
    return signals_of(request, runtime, user, id=_path_id(arguments, operation), phone=_phone(arguments, operation))


def signals_of(
    request: web.Request, runtime: Runtime, user: User | None, *, id: UUID | None = None, phone: str | None = None
) -> Signals:
    """What a request says about where it belongs."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    forwarded = request.headers.getall(headers.FORWARDED_FOR, [])
    return Signals(
        id=id,
        user=placement_of(user.id) if user is not None else None,
        explicit=request.headers.get(headers.REGION),
        phone=phone,
        country=request.headers.get(runtime.settings.country_header),
        peer=peer[0] if peer else None,
        forwarded_for=", ".join(forwarded) if forwarded else None,
        vouched=_vouched(request, runtime) if VOUCHED in request.headers else None,
    )


def _vouched(request: web.Request, runtime: Runtime) -> Vouched:
    """What an edge signed of the client; read once a request, and counted if it is refused."""
    known = request.get(_READ)
    if known is None:
        known = request[_READ] = read_vouched(
            request.headers[VOUCHED],
            path=request.raw_path.partition("?")[0],
            secrets=runtime.settings.edge_secrets,
            now=runtime.now(),
        )
        if known.refused:
            runtime.metrics.events.labels("edge_country_refused").inc()
    return known


def _authorise(user: User | None, operation: Operation) -> None:
    if operation.public:
        return
    if user is None:
        raise Unauthenticated("this needs a user: log in and send the access token")
    if operation.roles and user.role not in operation.roles:
        raise Forbidden(f"this is for the role {' or '.join(sorted(operation.roles))}; you are {user.role}")


def _path_id(arguments: dict[str, Any], operation: Operation) -> UUID | None:
    for parameter in operation.path_parameters:
        value = arguments[parameter.name]
        if isinstance(value, UUID):
            return value
    return None


def _phone(arguments: dict[str, Any], operation: Operation) -> str | None:
    if operation.phone_field is None or operation.body is None:
        return None
    return cast("str | None", getattr(arguments[operation.body[0]], operation.phone_field))


def _ask(request: web.Request, runtime: Runtime, operation: Operation, deadline: float) -> Ask:
    return Ask(deadline, _consistency(request, operation), _token(request, runtime))


def _consistency(request: web.Request, operation: Operation) -> Consistency:
    """What the operation asks for, or stronger if the caller does; `session` may be lowered to `eventual`.

    A caller who says `eventual` gives up only their own guarantee, so the default `session` yields to it.
    """
    asked = request.headers.get(CONSISTENCY_HEADER)
    if asked is None:
        return operation.consistency
    if asked not in _STRENGTH:
        raise Malformed(f"{CONSISTENCY_HEADER} must be eventual, session or strong")
    wanted = Consistency(asked)
    if operation.consistency is Consistency.SESSION:
        return wanted
    return max(wanted, operation.consistency, key=_STRENGTH.index)


def _token(request: web.Request, runtime: Runtime) -> Token:
    """The caller's token: the header's, or the browser's cookie, which is ignored when it is not good."""
    text = request.headers.get(TOKEN_HEADER)
    if text:
        return runtime.tokens.parse(text)
    cookie = request.cookies.get(TOKEN_COOKIE)
    if not cookie:
        return Token()
    try:
        return runtime.tokens.parse(cookie)
    except Malformed:
        return Token()


def _receipt(request: web.Request, runtime: Runtime, user: User | None, body: bytes) -> ReceiptKey | None:
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is None or request.method != "POST":
        return None
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
        raise Invalid(
            [FieldError(IDEMPOTENCY_HEADER, f"must be 1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters")]
        )
    said = b"\0".join((request.method.encode(), request.path.encode(), body))
    return ReceiptKey(user.id if user is not None else _NOBODY, key, runtime.receipts.digest(said))


def _dress(response: web.StreamResponse, call: Call, request: web.Request) -> None:
    """Add what the call learnt: the consistency token, a replay, a session cookie."""
    if call.ask.token.entries:
        text = call.runtime.tokens.text(call.ask.token)
        response.headers[TOKEN_HEADER] = text
        if SESSION_COOKIE in request.cookies or call.cookie is not None:
            _set_cookie(response, call, TOKEN_COOKIE, Cookie(text, 3600))
    if call.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    if call.cookie is not None:
        _set_cookie(response, call, SESSION_COOKIE, call.cookie)


def _set_cookie(response: web.StreamResponse, call: Call, name: str, cookie: Cookie) -> None:
    settings = call.runtime.settings
    response.set_cookie(
        name,
        cookie.value,
        max_age=cookie.max_age_s,
        path="/",
        domain=settings.cookie_domain,
        secure=settings.is_production,
        httponly=True,
        samesite="Lax",
    )

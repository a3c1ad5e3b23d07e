"""What the edge did with a request, told in Cache-Status (RFC 9211)."""

from edge.messages import Fields, Response

FIELD = "Cache-Status"


def told(response: Response, text: str, *more: tuple[str, str]) -> Response:
    """The response with a Cache-Status of ours after those of caches behind us, and with more fields."""
    return Response(response.status, (*response.headers, *more, (FIELD, text)), response.body, response.stream)


def hit(name: str, ttl_s: int, detail: str | None = None) -> str:
    """It was answered from what is kept; `ttl_s` is how long that stays fresh, less than 0 once it is stale."""
    return f"{name}; hit; ttl={ttl_s}{_detail(detail)}"


def forwarded(
    name: str,
    why: str,
    *,
    status: int | None = None,
    is_stored: bool = False,
    is_collapsed: bool = False,
    ttl_s: int | None = None,
    detail: str | None = None,
) -> str:
    """It went to the origin (`why`: uri-miss, vary-miss, stale, request, method, bypass), whose answer had `status`."""
    parts = [name, f"fwd={why}"]
    parts += [f"fwd-status={status}"] if status is not None else []
    parts += ["stored"] if is_stored else []
    parts += ["collapsed"] if is_collapsed else []
    parts += [f"ttl={ttl_s}"] if ttl_s is not None else []
    return "; ".join(parts) + _detail(detail)


def alone(name: str, detail: str) -> str:
    """It was answered by the edge itself, which asked nobody."""
    return name + _detail(detail)


def _detail(detail: str | None) -> str:
    return "" if detail is None else f"; detail={detail}"


def aged(age_s: float) -> Fields:
    """The Age of an answer, in whole seconds."""
    return (("Age", str(int(age_s))),)

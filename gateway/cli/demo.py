"""`meridian demo`: a customer's and a garage's whole journey, played against a running system, each step told."""

import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout
from cyclopts import Parameter

from gateway.cli.running import run
from gateway.demo import customer, garage
from gateway.demo.scenery import SCENERIES
from gateway.demo.stage import CALL_S, PAUSE_S, Kind, Show, Stage, StepFailed
from gateway.demo.trade import Market

_JOURNEYS: Final[Mapping[str, Callable[[Market], Awaitable[None]]]] = {"customer": customer.play, "garage": garage.play}
# Readable on black and on white: nothing but weight and the one colour that is dark and light enough for both.
_STYLES: Final[Mapping[Kind, str]] = {"title": "bold underline", "step": "bold", "outcome": "green"}


def demo(
    *,
    url: str = "http://127.0.0.1:3000",
    region: Literal["qa", "sa"] = "qa",
    journey: Literal["customer", "garage", "both"] = "both",
    fast: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Play a customer's and a garage's journey against a running system, over HTTP alone, and tell each step.

    It needs the staff and driver that `meridian local` makes, and the payments' sandbox. Each time new people with new
    phone numbers play, so it can be repeated. Exit 0 when every step was as it should be, 1 when one was not or nothing
    answers, 2 when the address is none.

    Parameters
    ----------
    url
        Where the gateway answers.
    region
        Where the people live.
    journey
        Which journey to play.
    fast
        Do not pause between steps.
    """
    if not _is_address(url):
        print(f"{url} is no address of a gateway: give one like http://127.0.0.1:3000", file=sys.stderr)
        return 2
    chosen = [name for name in _JOURNEYS if journey in (name, "both")]
    try:
        run(_play(url, region, chosen, _shown(), pause_s=0.0 if fast else PAUSE_S))
    except (ClientError, TimeoutError):
        print(f"nothing answers at {url}; start it with: make run", file=sys.stderr)
        return 1
    except StepFailed as exc:
        print(f"\n{exc}", file=sys.stderr)
        return 1
    return 0


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


async def _play(url: str, region: str, journeys: Sequence[str], show: Show, *, pause_s: float) -> None:
    async with ClientSession(url) as session:
        async with session.get("/health/live", timeout=ClientTimeout(total=CALL_S)):
            pass
        for journey in journeys:
            stage = Stage(session, show, pause_s=pause_s)
            try:
                await _JOURNEYS[journey](Market(stage, SCENERIES[region], secrets.randbelow))
            except LookupError as exc:
                raise stage.failed(f"the answer is without {exc}: is this a Meridian gateway?") from exc
    show("blank", "")
    show("title", "Every step was as it should be.")


def _shown() -> Show:
    """How lines are printed: on a terminal with some weight and colour, elsewhere as they are."""
    if not sys.stdout.isatty():
        return lambda _, line: print(line, flush=True)
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    return lambda kind, line: console.print(Text(line, style=_STYLES.get(kind, "")), soft_wrap=True)

"""Logs: structlog, one line for each thing that happened; people read the console form, machines the JSON form.

Each line is one write, so that those of several processes do not run into each other.
"""

import logging
import warnings
from typing import Literal

import orjson
import structlog
from aiohttp import BadContentDispositionHeader, BadContentDispositionParam
from aiohttp.http_exceptions import HttpProcessingError


def configure(*, level: str, form: Literal["console", "json"]) -> None:
    """Set up logging for the process. Libraries' own logs come through from warnings up, in the same form."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.typing.Processor] = (
        [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(lambda v, **_: orjson.dumps(v, default=str).decode()),
        ]
        if form == "json"
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=max(number, logging.WARNING), format="%(asctime)s [%(levelname)s] %(name)s: %(message)s", force=True
    )
    # What a client wrote there is nobody's business, and Python would remember each wrong one for ever.
    for kind in (BadContentDispositionHeader, BadContentDispositionParam):
        warnings.simplefilter("ignore", kind)
    # The watcher of each node already says that it is down; the pool's retries would repeat it with a traceback.
    logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)
    logging.getLogger("aiohttp.server").addFilter(_leave_out_what_was_sent)


def _leave_out_what_was_sent(record: logging.LogRecord) -> bool:
    """aiohttp logs what it cannot parse with the offending line, which may be somebody's token: keep its kind only."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args, record.exc_info = "unreadable request: %s", (type(error).__name__,), None
    return True

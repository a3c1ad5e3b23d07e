"""The operation API: declare calls, parse them, authorise them, run them, render them, document them."""

from core.database.shard import Consistency
from gateway.caching import Shared
from gateway.operations.api import Api
from gateway.operations.call import Call, Cookie, Place
from gateway.operations.downloads import Download
from gateway.operations.jobs import Job, Shift, sweeping, throwing_away
from gateway.operations.models import UNSET, Email, Input, Label, Name, Note, Output, Prose
from gateway.operations.operation import READ, WRITE, Created, Items, PartialItems
from gateway.operations.pages import Page
from gateway.operations.raw import RawBody
from gateway.operations.streams import Csv
from gateway.operations.uploads import Upload

__all__ = [
    "READ",
    "UNSET",
    "WRITE",
    "Api",
    "Call",
    "Consistency",
    "Cookie",
    "Created",
    "Csv",
    "Download",
    "Email",
    "Input",
    "Items",
    "Job",
    "Label",
    "Name",
    "Note",
    "Output",
    "Page",
    "PartialItems",
    "Place",
    "Prose",
    "RawBody",
    "Shared",
    "Shift",
    "Upload",
    "sweeping",
    "throwing_away",
]

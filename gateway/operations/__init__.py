"""The operation API: declare calls, parse them, authorise them, run them, render them, document them."""

from core.database.shard import Consistency
from gateway.operations.api import Api
from gateway.operations.call import Call, Cookie, Place
from gateway.operations.operation import READ, WRITE, Created, Items, PartialItems
from gateway.operations.pages import Page

__all__ = ["READ", "WRITE", "Api", "Call", "Consistency", "Cookie", "Created", "Items", "Page", "PartialItems", "Place"]

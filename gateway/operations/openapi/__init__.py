"""The API document: what the declared operations promise, as OpenAPI 3.1, for clients and for the docs page."""

from gateway.operations.openapi.document import document

__all__ = ["document"]

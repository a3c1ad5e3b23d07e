"""The content codings that contents prepared once are offered in: brotli beside the standard library's gzip."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import brotli  # type: ignore[import-untyped]  # it has no types

from edge.prepared import Compressor, gzipped

_FORMS_MAX: Final = 512
_QUALITY: Final = 9  # of 11: a tenth larger than the best, in a sixth of its time
_QUALITY_OF_LARGE: Final = 5
_LARGE_BYTES: Final = 256 * 1024  # a start does not wait a second for the last tenth of these


@lru_cache(_FORMS_MAX)
def _brotli(content: bytes) -> bytes:
    quality = _QUALITY if len(content) < _LARGE_BYTES else _QUALITY_OF_LARGE
    return bytes(brotli.compress(content, quality=quality))


COMPRESSORS: Final[Mapping[str, Compressor]] = {"br": _brotli, "gzip": lru_cache(_FORMS_MAX)(gzipped)}
"""They remember what they made: of all the documents that a changed map or file makes anew, few are new."""

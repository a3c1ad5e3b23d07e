"""From the text of a map to a ShardMap: read, expand, type, relate, build; refused whole if any step found a fault."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from core.limits import MAP_BYTES_MAX
from core.shard_map.build import build_map
from core.shard_map.document import read_document
from core.shard_map.faults import Faults, Place
from core.shard_map.model import ShardMap
from core.shard_map.reading import read_map
from core.shard_map.relations import check_relations
from core.shard_map.variables import resolve


def parse(text: bytes, *, file: str, environment: Mapping[str, str]) -> ShardMap:
    """The map in `text` (YAML 1.2, UTF-8), its `${VAR}` filled in from `environment`.

    Raises MapRefused with every fault at once, in the order of the text; `file` is only the name shown in them.
    """
    faults = Faults(file)
    document = read_document(text, faults)
    if document is None:
        raise faults.refused()
    raw = read_map(resolve(document, environment, faults), faults)
    check_relations(raw, faults)
    if faults:
        raise faults.refused()
    return build_map(raw, file=file, digest=sha256(text).hexdigest())


def load(path: Path, *, environment: Mapping[str, str]) -> ShardMap:
    """The map in the file at `path`. Raises MapRefused as `parse` does, and for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(MAP_BYTES_MAX + 1)
    except OSError as error:
        faults = Faults(str(path))
        reason = (error.strerror or type(error).__name__).lower()
        faults.add(Place(1, 1, ""), f"the file cannot be read: {reason}", "Check its path and its permissions.")
        raise faults.refused() from error
    return parse(text, file=str(path), environment=environment)

"""`${NAME}` and `${NAME:-default}` in the values of a map; `$${` stands for a plain `${`."""

import re
from collections.abc import Mapping as Environment

from core.shard_map.faults import Faults, Wrong, did_you_mean
from core.shard_map.tree import Entry, Mapping, Node, Scalar, Sequence

_REFERENCE = re.compile(
    r"""
      (?P<escape>  \$\$\{ )
    | \$\{ (?P<name> [A-Za-z_][A-Za-z0-9_]* ) (?: :- (?P<default> [^}]* ) )? \}
    | (?P<broken>  \$\{ )
    """,
    re.VERBOSE,
)


def resolve(node: Node, environment: Environment[str, str], faults: Faults) -> Node:
    """The same tree with every value expanded; an unknown variable is a fault and leaves its value unusable."""
    match node:
        case Scalar():
            return _resolve_scalar(node, environment, faults)
        case Sequence():
            return Sequence(node.place, tuple(resolve(item, environment, faults) for item in node.items))
        case Mapping():
            entries = (Entry(each.place, each.key, resolve(each.value, environment, faults)) for each in node)
            return Mapping(node.place, tuple(entries))


def expand(text: str, environment: Environment[str, str]) -> str:
    """`text` with its variables filled in. As in a shell, `:-` also covers a variable that is set but empty.

    Raises Wrong for a variable that is not set and has no default, and for a `${` that is not closed.
    """
    return _REFERENCE.sub(lambda match: _value(match, environment), text)


def _resolve_scalar(node: Scalar, environment: Environment[str, str], faults: Faults) -> Scalar:
    if "${" not in node.text:
        return node
    try:
        expanded = expand(node.text, environment)
    except Wrong as wrong:
        faults.add(node.place, wrong.message, wrong.remedy)
        return Scalar(node.place, "", "unusable")
    names = [f"${{{match['name']}}}" for match in _REFERENCE.finditer(node.text) if match["name"]]
    return Scalar(node.place, expanded, "variable" if names else node.kind, ", ".join(names))


def _value(match: re.Match[str], environment: Environment[str, str]) -> str:
    if match["escape"]:
        return "${"
    name, default = match["name"], match["default"]
    if name is None:
        raise Wrong("a ${ is not a variable", "Write ${NAME} or ${NAME:-default}, or $${ for a plain ${.")
    value = environment.get(name)
    if default is not None:
        return value or default
    if value is None:
        remedy = f"Set {name} in the environment or in .env, or write ${{{name}:-default}}."
        raise Wrong(f"the variable {name} is not set", did_you_mean(name, environment, remedy))
    return value

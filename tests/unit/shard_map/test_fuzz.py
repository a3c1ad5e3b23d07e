"""Whatever stands in the file, parsing gives a map or MapRefused, and nothing else."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.shard_map.samples import GOOD, faults_of

YAML_SIGNS = """: |- |[|{|#|"|'|"\\UFFFFFFFF"|&a |*a|<<: *a|!!bool |!<x> |? |>-|...|=|@|`|,"""
VARIABLE_SIGNS = "${|}|$${|${X:-|${WEIGHT}"
SCALARS = "0x1F|1_000|1e999|.inf|true|~|NO|2001-01-01|é|٣"
INVISIBLE = ("\t", "\n", "  ", "\x00", "\ufeff", "\u2028", "---\n", "%YAML 1.1\n---\n", "9" * 5000, "|\n")
PIECES = st.sampled_from([*YAML_SIGNS.split("|"), *VARIABLE_SIGNS.split("|"), *SCALARS.split("|"), *INVISIBLE])


@st.composite
def spoilt_maps(draw: st.DrawFn) -> str:
    text = GOOD
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 40))
        piece = draw(PIECES | st.text(max_size=8))
        text = text[:at] + piece + text[at + cut :]
    return text


@given(spoilt_maps())
@settings(max_examples=400, deadline=None)
@example('version: "\\UFFFFFFFF"')
@example("a: &a [*a]")
@example("? {a: 1}\n: 2")
@example("%YAML 9.9\n---\nversion: 1")
@example("version: " + "9" * 10_000)
@example("regions: {qa: {code: " + "[" * 200)
def test_a_spoilt_map_is_read_or_refused_with_its_place(text: str) -> None:
    check(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    check(data)


def check(data: bytes) -> None:
    lines = data.count(b"\n") + data.count(b"\r") + 2
    for fault in faults_of(data):
        assert 1 <= fault.line <= lines
        assert fault.column >= 1
        assert len(str(fault).splitlines()) == 1

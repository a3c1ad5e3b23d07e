"""The operators' table tells the truth about its tests: every row names one, and it is there."""

import re
from pathlib import Path

from tests.system import ROOT


def rows() -> list[tuple[str, str]]:
    """Each row of the tables of what can fail: its part and its last cell."""
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text[text.index("## What can fail") : text.index("## A dead primary")]
    cells = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return [(row[0].strip(), row[-1].strip()) for row in cells if row[0].strip() != "part"]


def test_every_row_names_a_test_that_is_there() -> None:
    found = rows()
    assert len(found) > 20
    for part, cell in found:
        match = re.fullmatch(r"`([\w/]+\.py)::(\w+)`", cell)
        assert match, f"{part}: no test is named"
        file = ROOT / "tests" / match.group(1)
        assert f"def {match.group(2)}(" in Path(file).read_text(), f"{part}: {cell}"

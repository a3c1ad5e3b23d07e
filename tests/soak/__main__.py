"""`python -m tests.soak [--seconds 180] [--seed N] [--report FILE]`: exit status 1 on any broken promise."""

import argparse
import asyncio
import json
import random
import sys
from pathlib import Path

from tests.soak.report import text
from tests.soak.run import soak


def main() -> int:
    """Run one soak and print what it saw."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--report", type=Path, help="write the summary here as JSON, too")
    parser.add_argument("--keep", action="store_true", help="keep logs and data even when every promise was kept")
    asked = parser.parse_args()
    print(f"soak of {asked.seconds:g} s, seed {asked.seed}", flush=True)
    summary = asyncio.run(soak(asked.seconds, asked.seed, keep=asked.keep))
    if asked.report is not None:
        asked.report.write_text(json.dumps(summary, indent=2) + "\n")
    print(text(summary))
    if "kept" in summary:
        print(f"logs and data are kept in {summary['kept']}")
    return 1 if summary["violations"] else 0


sys.exit(main())

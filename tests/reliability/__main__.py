"""Long checks of what `docs/reliability.md` promises: `python tests/reliability NAME [--count N]` from a checkout.

Each prints a line a minute and ends with its figures, which it adds to `results/reliability.json`; the exit code is 1
where a promise was not kept. `make test` runs none of them: they take from a minute to hours.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))  # made_runs and the other modules that tests share

from figures import add_figures, ended_well
from page import write_page

CHECKS = {
    "kills": (120, "signals at random moments of a study"),
    "operations": (0, "a kill before every file operation of a study; 0: before each, N: before every N-th"),
    "disks": (40, "disks that are too small for a study"),
    "writers": (20, "studies that two and four processes carry out at once, and schedules of them"),
    "damage": (18, "kinds of damage to each file of a run"),
    "flips": (200, "changed bytes in each file of a run"),
    "weights": (100, "hostile weights files"),
    "fuzz": (600, "seconds of processor time for each reader"),
}
"""Name → default count, and what is counted."""


def main() -> int:
    """Runs one check and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python tests/reliability", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    for name, (count, what) in CHECKS.items():
        names.add_parser(name, help=what).add_argument("--count", type=int, default=count, help=f"{what} ({count})")
    names.add_parser("page", help="writes the tables of docs/reliability.md from the figures")
    given = parser.parse_args()
    if given.name == "page":
        write_page()
        return 0
    check = importlib.import_module(given.name).check
    figures = check(given.count)
    add_figures(given.name, figures)
    sys.stdout.write(json.dumps({given.name: figures}, indent=1) + "\n")
    return 0 if ended_well(figures) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What a store of many runs costs: its size, and the processor time of the commands that read all of it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from clock import Clock

from convarium.data import load_data
from convarium.recipes.recipe import Recipe
from convarium.runs.listing import folder_bytes
from convarium.runs.store import Store
from convarium.studies.extension import extended_record
from convarium.studies.study import Study, grid
from convarium.training import fit

Rows = list[dict[str, str | int | float]]

MEASURED = 1_000, 10_000
MANY = 1_000_000
BASE = Recipe(model="lenet", dataset="digits", epochs=10)


def store() -> Rows:
    """Stores of 1,000 and 10,000 runs in one study, and what a million would cost with the same growth a run."""
    few, many = map(_measured, MEASURED)
    growth = {name: (many[name] - few[name]) / (MEASURED[1] - MEASURED[0]) for name in few}
    most = {name: many[name] + rate * (MANY - MEASURED[1]) for name, rate in growth.items()}
    rows = dict(zip(MEASURED, (few, many), strict=True)) | {MANY: most}
    return [{"": "extrapolated" if n == MANY else "measured", "runs": n, **row} for n, row in rows.items()]


def _measured(n: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        _fill(Store(folder), n)
        weights = sum(path.stat().st_size for path in Path(folder).glob("runs/*/weights.safetensors"))
        return {
            "MB of weights": weights / 1e6,
            "MB of all else": (folder_bytes(Path(folder)) - weights) / 1e6,
            "s, list runs": _processor_seconds("list", "runs", "--store", folder),
            "s, list studies": _processor_seconds("list", "studies", "--store", folder),
            "s, results": _processor_seconds("results", "many", "--store", folder),
            "ms, one run by its key": _milliseconds_of_one(Path(folder)),
        }


def _fill(store: Store, n: int) -> None:
    """Writes runs that have the numbers of one, each with a recipe and a folder of its own, and their study."""
    splits = load_data(BASE.dataset)
    outcome = fit(BASE, splits)
    study = Study(name="many", question="What do many runs cost?", recipes=grid(BASE, seed=range(n)))
    keys = [recipe.key(splits.digest) for recipe in study.recipes]
    with patch.object(os, "fsync"):  # nothing here is worth waiting for the disk
        for recipe, key in zip(study.recipes, keys, strict=True):
            store.finish(store.begin(recipe, key), outcome)
        store.update_study(study.name, lambda before: extended_record(study, keys, before))


def _processor_seconds(*words: str) -> float:
    clock = Clock()
    subprocess.run([sys.executable, "-m", "convarium", *words], check=True, stdout=subprocess.DEVNULL)
    return clock.stop().processor_seconds


def _milliseconds_of_one(folder: Path) -> float:
    """Of a store that is opened anew: the names of all folders are read, and the files of one."""
    (digits,) = (path.name[-8:] for path in sorted(folder.glob("runs/*"))[:1])
    clock = Clock()
    assert Store(folder).run(digits)
    return 1000 * clock.stop().processor_seconds

"""How fast this machine trains the networks whose claims are not judged yet: the rates behind docs/reproductions.md.

    python benchmarks/costs.py        times the networks of which results/speed has no rate, about 8 s each

`convarium bench --record` times the networks of the benchmark itself. A rate counts the images of one epoch and the
time of its steps and of the scoring after it, from the first seconds of an epoch. The machine should be quiet.
Afterwards `convarium reproduce --page` computes the costs from these rates.
"""

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import torch

from convarium.benchmark.speed_records import instruction_set, slug
from convarium.disk import read_json, write_json
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import environment
from convarium.runs.store import Store
from convarium.studies.catalogue import catalogue, findings
from convarium.studies.costs import RATES, rate_of, recorded_rates
from convarium.studies.estimate import measure_time
from convarium.studies.reproductions import checkout_results
from convarium.studies.resources import Resources
from convarium.studies.study import images_of


def main() -> None:
    """Times each network and writes results/speed/rates/<machine>.json; entries of other networks stay."""
    results = checkout_results()
    rates = recorded_rates(results / "speed")
    missing = [recipe for found in findings(catalogue().values(), [Store(results)]) for recipe in found.missing]
    recipes = list(dict.fromkeys(dataclasses.replace(recipe, seed=0) for recipe in missing))
    timings = [timed(recipe) for recipe in recipes if rate_of(recipe, rates) is None]
    here = environment(torch.device("cpu"))
    machine = {"processor": here.processor, "instructions": instruction_set()}
    path = results / "speed" / RATES / f"{slug(machine)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"machine": machine, "timings": [*kept(path, timings), *timings]})
    print(f"{path}: {len(timings)} rates")  # noqa: T201


def timed(recipe: Recipe) -> dict[str, Any]:
    """The record of one network on this machine's processor."""
    splits = Resources(Store(Path("none")), device="cpu").splits(recipe)
    measured = measure_time(recipe, splits, torch.device("cpu"))
    if measured is None:
        raise SystemExit(f"{recipe.model} fails in training")
    here = environment(torch.device("cpu"))
    timing = {
        "job": recipe.model,
        "image": list(dataclasses.astuple(images_of(recipe))),
        "precision": recipe.precision,
        "members": 1,
        "batch_size": recipe.batch_size,
        "threads": here.threads,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": here.commit,
        "convarium": {"median": len(splits.train) / measured.epoch},
    }
    print(json.dumps(timing))  # noqa: T201
    return timing


def kept(path: Path, timings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The timings of a file that no new one replaces."""
    subject = ("job", "image", "precision", "batch_size")
    new = [[timing[name] for name in subject] for timing in timings]
    old = read_json(path, 2**26)["timings"] if path.exists() else []
    return [timing for timing in old if [timing[name] for name in subject] not in new]


if __name__ == "__main__":
    main()

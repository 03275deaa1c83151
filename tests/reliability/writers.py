"""Two and four processes that carry out parts of one study in one store at the same time."""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import short_studies
from figures import ROOT, Progress

sys.path.insert(1, str(ROOT / "tests" / "studies"))

import test_writers

from scheduler import at_random, stopped_at

_SETTINGS = ("--epochs", "2", "--batch-size", "64", "--validation", "1200", "--name", short_studies.NAME)
EXTENSIONS = (
    ("compare", "lenet", "alexnet(hidden=16, width_divisor=16)", *_SETTINGS, "--seeds", "2"),
    ("compare", "lenet", *_SETTINGS, "--seeds", "3"),
    ("compare", "lenet", "lenet(pool='avg')", *_SETTINGS, "--seeds", "1"),
    ("compare", "alexnet(hidden=16, width_divisor=16)", *_SETTINGS, "--seeds", "3"),
)
"""What each writer carries out, all under one name."""

KILLED = 0.4
"""The share of studies of which one writer is killed at a random moment, and started again."""

TURNS = 10
"""Schedules in random order for each study that processes carry out."""


def check(count: int) -> dict[str, Any]:
    """Carries out `count` studies by processes, and schedules of writers that take turns.

    One writer is stopped before each of its operations, and one is killed before each, while the others go on.
    """
    broken, progress = list[str](), Progress()
    figures: dict[str, Any] = {"schedules": _schedules(count, broken, progress)}
    short_studies.prepare()
    draw = random.Random(0)
    studies = {"two processes": 0, "four processes": 0, "with one killed": 0}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        expected = {n: _one_after_another(folder, n) for n in (2, 4)}
        for number in range(count):
            writers, is_killed = (2, 4)[number % 2], draw.random() < KILLED
            store = folder / "store"
            shutil.rmtree(store, ignore_errors=True)
            wrong = _at_once(store, writers, draw, is_killed=is_killed)
            if not wrong:
                try:
                    if short_studies.bits(store) != expected[writers]:
                        wrong = ["the bits are not those of one process"]
                except Exception as error:
                    wrong = [f"{type(error).__name__}: {error}"]
                left = short_studies.left_over(store)
                wrong += [f"left over: {left}"] if left else []
            broken += [f"study {number} of {writers} processes: {text}" for text in wrong]
            studies["two processes" if writers == 2 else "four processes"] += 1
            studies["with one killed"] += is_killed
            progress.tell(f"{number + 1} studies by processes, {len(broken)} broken")
    return figures | {"studies": studies, "broken": broken}


def _one_after_another(folder: Path, writers: int) -> dict[str, str]:
    store = folder / f"alone-{writers}"
    for words in EXTENSIONS[:writers]:
        found = short_studies.undisturbed(words, store)
    return found


def _at_once(store: Path, writers: int, draw: random.Random, *, is_killed: bool) -> list[str]:
    """What is wrong with the ends of processes that begin at random within a second."""
    outputs = [store.with_name(f"output-{n}") for n in range(writers)]
    for output in outputs:
        output.unlink(missing_ok=True)
    works = [short_studies.command(words, store) for words in EXTENSIONS[:writers]]
    processes = []
    for work, output in zip(works, outputs, strict=True):
        processes.append(short_studies.fork(work, output))
        time.sleep(draw.uniform(0, 1 / writers))
    if is_killed:
        first = draw.randrange(writers)
        code = short_studies.wait(processes[first], draw.uniform(0, 6))
        if code is None:
            os.kill(processes[first], signal.SIGKILL)
            short_studies.wait(processes[first])
            processes[first] = short_studies.fork(works[first], outputs[first])
        else:
            processes[first] = short_studies.fork(works[first], outputs[first])
    wrong = []
    for process, output in zip(processes, outputs, strict=True):
        code = short_studies.wait(process, 300)
        if code != 0:
            wrong.append(f"exit code {code}: {short_studies.tail(output)}")
        if code is None:
            short_studies.kill(process)
    return wrong


def _schedules(count: int, broken: list[str], progress: Progress) -> dict[str, int]:
    """Writers of `tests/studies/test_writers.py`: stopped and killed before each operation, and in random order."""
    done = {"one of two stopped": 0, "one of four stopped": 0, "one of two killed": 0, "random order": 0}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        before, store = test_writers.made_store(folder / "before"), folder / "store"

        def one(name: str, what: str, work: Any) -> bool:
            shutil.rmtree(store, ignore_errors=True)
            try:
                came_so_far = work()
            except BaseException as error:
                broken.append(f"{what}: {type(error).__name__}: {error}"[:1500])
                came_so_far = True
            done[name] += bool(came_so_far)
            progress.tell(f"{what}: {done}, {len(broken)} broken")
            return bool(came_so_far)

        turns = test_writers.check_writers(before, store, 2, stopped_at(10**6))
        operations = len(turns.writers[0].operations)
        for stop in range(1, operations + 1):
            for writers, name in ((2, "one of two stopped"), (4, "one of four stopped")):
                policy = stopped_at(stop)
                one(
                    name,
                    f"one of {writers} stopped before operation {stop}",
                    lambda writers=writers, policy=policy: test_writers.check_writers(before, store, writers, policy),
                )
        for stop in range(operations + 1):
            what = f"killed before operation {stop}"
            if not one("one of two killed", what, lambda stop=stop: test_writers.check_takeover(before, store, stop)):
                break
        for number in range(TURNS * count):
            writers = (2, 4)[number % 2]
            one(
                "random order",
                f"{writers} writers in random order {number}",
                lambda writers=writers, number=number: test_writers.check_writers(
                    before, store, writers, at_random(1000 + number)
                ),
            )
    return {"operations of one writer": operations, **done}

"""What `--workers` gives and takes on this machine; see `scale` for how each is measured."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Rows = list[dict[str, str | int | float]]

BASE = ("compare", "lenet", "--dataset", "mnist", "--epochs", "2", "--seeds", "16")


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "convarium", *words]


def speed() -> Rows:
    """Three pairs of whole commands, in turns; the runs of each call are trained into a new store."""
    rows: Rows = []
    for number in range(3):
        seconds = {}
        ways = {"in process": [], "2 workers": ["--workers", "2"]}
        for name in sorted(ways, reverse=bool(number % 2)):
            with tempfile.TemporaryDirectory() as store:
                began = time.monotonic()
                subprocess.run(command(*BASE, *ways[name], "--store", store), check=True, capture_output=True)
                seconds[name] = time.monotonic() - began
        ratio = seconds["in process"] / seconds["2 workers"]
        rows.append({"pair": number + 1, "2 workers, times as fast as one process": ratio})
    return rows


def memory_kb(pid: int) -> int:
    """What a process adds to the memory in use: pages that it shares count by their share."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def memory() -> Rows:
    """The memory of two workers while they train on MNIST, beside that of a process that has made an optimizer of
    PyTorch, which imports its compiler, and does nothing more.
    """
    code = (
        "import torch, sys; torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1); "
        "sys.stdout.write('1'); sys.stdout.flush(); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code]
    torches = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for process in torches:
        assert process.stdout
        process.stdout.read(1)
    with started(("--epochs", "50", "--workers", "2")) as (driver, store):
        peaks: dict[int, int] = {}
        for _ in range(4):  # until both have trained for some epochs
            _wait_for_training(driver, store)
        began = time.monotonic()
        while time.monotonic() - began < 20:
            for pid in workers_of(driver.pid):
                peaks[pid] = max(peaks.get(pid, 0), memory_kb(pid))
            time.sleep(0.5)
        # At the same time, because the pages of PyTorch's libraries are shared by all who use them now.
        alone = sum(memory_kb(process.pid) for process in torches) / len(torches)
    for process in torches:
        process.communicate()
    return [
        {
            "worker, MB": round(peak / 1000),
            "PyTorch with an optimizer alone, MB": round(alone / 1000),
            "more": round((peak - alone) / 1000),
        }
        for peak in peaks.values()
    ]


def workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    pids = list(map(int, children.read_text(encoding="utf-8").split())) if children.exists() else []
    return [child for child in pids if b"executors.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


@contextmanager
def started(words: tuple[str, ...]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    with tempfile.TemporaryDirectory() as store:
        process = subprocess.Popen(command(*BASE, *words, "--store", store), stderr=subprocess.DEVNULL)
        try:
            yield process, Path(store)
        finally:
            process.terminate()
            process.wait()


def overhead() -> Rows:
    """The processor time and the memory of the process that carries out a study of runs that train for no time."""
    runs = 1000
    import torch

    from convarium.data import load_data
    from convarium.recipes.recipe import Recipe
    from convarium.records import Environment, Epoch, Outcome
    from convarium.runs.store import Store
    from convarium.studies import fitting
    from convarium.studies.resources import Resources
    from convarium.studies.run import run_study
    from convarium.studies.study import Study, grid

    row = Epoch(1, 1, 0.1, 2.0, 0.5, 1.0, 0.75, None, None, 0.25)
    here = Environment("0.1.0", "3.11", "2.13", "Linux", "a processor", "cpu", 1, started="2026-01-01")

    def fit(*_: object, **__: object) -> Outcome:
        return Outcome("finished", (row,), here, weights={"w": torch.ones(2)})

    fitting.fit = fit  # type: ignore[assignment]
    splits = load_data("digits")
    marks: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        resources = Resources(Store(folder), device="cpu")
        study = Study(name="many", question="?", recipes=grid(Recipe(epochs=1), seed=range(runs)))

        def listen(event: object) -> None:
            if getattr(event, "finished", None):
                used = resource.getrusage(resource.RUSAGE_SELF)
                marks.append((used.ru_utime + used.ru_stime, used.ru_maxrss))

        began = time.process_time()
        run_study(study, resources, on_event=listen)
        total = time.process_time() - began
    assert len(splits.train)
    tenth = runs // 10
    first = (marks[tenth][0] - marks[0][0]) / tenth
    last = (marks[-1][0] - marks[-1 - tenth][0]) / tenth
    return [
        {
            "runs": runs,
            "ms a run, with plan and table": 1000 * total / runs,
            "ms a run, the first tenth": 1000 * first,
            "ms a run, the last tenth": 1000 * last,
            "MB after the first tenth": round(marks[tenth][1] / 1000),
            "MB at the end": round(marks[-1][1] / 1000),
        }
    ]


def kills() -> Rows:
    """Kills workers 20 times and their driver 5 times, and compares every study with one that nobody disturbed."""
    draw, times = random.Random(0), 25  # noqa: S311
    words = ("compare", "lenet", "--epochs", "4", "--seeds", "12", "--name", "kills", "--workers", "2")
    killed = {"worker": 0, "driver": 0}
    studies = runs = equal = lost = retried = shown = 0
    with tempfile.TemporaryDirectory() as quiet, tempfile.TemporaryDirectory() as folder:
        subprocess.run(command(*words, "--store", quiet), check=True, capture_output=True)
        while sum(killed.values()) < times:
            store = Path(folder) / str(studies)
            sealed: dict[str, bytes] = {}
            while _statuses(store).count("finished") < 12:  # a run that has lost two workers has failed
                nothing = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                driver = subprocess.Popen(command(*words, "--store", str(store)), **nothing)
                while driver.poll() is None:
                    _wait_for_training(driver, store)
                    time.sleep(draw.uniform(0, 4))
                    victims, number = workers_of(driver.pid), sum(killed.values())
                    if number < times and victims:
                        what = "driver" if number % 5 == 4 else "worker"
                        killed[what] += 1
                        with suppress(ProcessLookupError):
                            os.kill(driver.pid if what == "driver" else draw.choice(victims), signal.SIGKILL)
                now = _finished(store)
                lost += sum(now.get(name) != content for name, content in sealed.items())
                sealed = now
            weights = [
                {path.parent.name: path.read_bytes() for path in root.glob("runs/*/weights.safetensors")}
                for root in (Path(quiet), store)
            ]
            studies, runs = studies + 1, runs + len(weights[0])
            equal += sum(weights[1].get(name) == content for name, content in weights[0].items())
            again = [run["recipe"]["seed"] for run in _records(store) if run["retried"]]
            page = (store / "studies" / "kills" / "report.html").read_text("utf-8")
            retried += len(again)
            shown += sum(f"lenet seed {seed} (its worker" in page for seed in again)
    return [
        {
            "workers killed": killed["worker"],
            "drivers killed": killed["driver"],
            "studies": studies,
            "runs": runs,
            "with the weights of an undisturbed study": equal,
            "stored runs lost or trained again": lost,
            "tried again": retried,
            "of which the page says it": shown,
        }
    ]


def _wait_for_training(driver: subprocess.Popen[bytes], store: Path) -> None:
    """Waits until a run in a store has ended another epoch, since workers need time to start, or the driver has."""
    began = time.time()
    while driver.poll() is None:
        time.sleep(0.1)
        with suppress(FileNotFoundError):
            if max((path.stat().st_mtime for path in store.glob("runs/*/history.jsonl")), default=0.0) > began:
                return


def _records(store: Path) -> list[dict[str, Any]]:
    """The seal of every run of a store, with its recipe."""
    found = []
    for path in store.glob("runs/*/outcome.json"):
        recipe = json.loads(path.with_name("recipe.json").read_text("utf-8"))
        found.append({"retried": None} | json.loads(path.read_text("utf-8")) | {"recipe": recipe})
    return found


def _statuses(store: Path) -> list[str]:
    return [record["status"] for record in _records(store)]


def _finished(store: Path) -> dict[str, bytes]:
    """The seals of the finished runs of a store, by their folders."""
    seals = {path.parent.name: path.read_bytes() for path in store.glob("runs/*/outcome.json")}
    return {name: seal for name, seal in seals.items() if json.loads(seal)["status"] == "finished"}

"""Measures what `--workers` gives and takes on this machine:

    python benchmarks/workers.py speed        16 runs of lenet on MNIST, 2 epochs: whole commands, in turns
    python benchmarks/workers.py memory       what a worker adds to the memory in use, beside Python and PyTorch alone
    python benchmarks/workers.py overhead     what the driver takes for each of 1,000 runs that train for no time
    python benchmarks/workers.py kills        workers, and the driver, are killed at random instants

Each prints its figures, and `overhead` and `memory` need no quiet machine. `speed` needs MNIST.
"""

import argparse
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

BASE = ("compare", "lenet", "--dataset", "mnist", "--epochs", "2", "--seeds", "16")


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "convarium", *words]


def speed(pairs: int) -> None:
    """Whole commands, in turns; the runs of each call are trained into a new store."""
    for number in range(pairs):
        seconds = {}
        ways = {"in process": [], "2 workers": ["--workers", "2"]}
        for name in sorted(ways, reverse=bool(number % 2)):
            with tempfile.TemporaryDirectory() as store:
                began = time.monotonic()
                subprocess.run(command(*BASE, *ways[name], "--store", store), check=True, capture_output=True)
                seconds[name] = time.monotonic() - began
        ratio = seconds["in process"] / seconds["2 workers"]
        times = f"in process {seconds['in process']:.1f} s, 2 workers {seconds['2 workers']:.1f} s"
        sys.stdout.write(f"{times}: {ratio:.2f}\n")


def memory_kb(pid: int) -> int:
    """What a process adds to the memory in use: pages that it shares count by their share."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def memory() -> None:
    """The memory of two workers while they train on MNIST, beside that of a process that has imported PyTorch alone."""
    code = "import torch, sys; sys.stdout.write('1'); sys.stdout.flush(); sys.stdin.read()"
    words = [sys.executable, "-c", code]
    torches = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for process in torches:
        assert process.stdout
        process.stdout.read(1)
    with started(("--epochs", "50", "--workers", "2")) as (driver, _):
        peaks: dict[int, int] = {}
        began = time.monotonic()
        while time.monotonic() - began < 60:
            for pid in workers_of(driver.pid):
                peaks[pid] = max(peaks.get(pid, 0), memory_kb(pid))
            time.sleep(0.5)
        # At the same time, because the pages of PyTorch's libraries are shared by all who use them now.
        alone = sum(memory_kb(process.pid) for process in torches) / len(torches)
    for process in torches:
        process.communicate()
    for peak in peaks.values():
        growth = (peak - alone) / 1000
        sys.stdout.write(f"worker {peak / 1000:.0f} MB, PyTorch alone {alone / 1000:.0f} MB: {growth:.0f} MB more\n")


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


def overhead(runs: int) -> None:
    """The driver's processor seconds and memory for runs that workers pretend to train."""
    import torch

    from convarium.data import load_data
    from convarium.recipes.recipe import Recipe
    from convarium.records import Environment, Epoch, Outcome
    from convarium.runs.store import Store
    from convarium.studies import unit
    from convarium.studies.resources import Resources
    from convarium.studies.run import run_study
    from convarium.studies.study import Study, grid

    row = Epoch(1, 1, 0.1, 2.0, 0.5, 1.0, 0.75, None, None, 0.25)
    here = Environment("0.1.0", "3.11", "2.13", "Linux", "a processor", "cpu", 1, started="2026-01-01")

    def fit(*_: object, **__: object) -> Outcome:
        return Outcome("finished", (row,), here, weights={"w": torch.ones(2)})

    unit.fit = fit  # type: ignore[assignment]
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
    tenth = max(1, runs // 10)
    first = (marks[tenth][0] - marks[0][0]) / tenth
    last = (marks[-1][0] - marks[-1 - tenth][0]) / tenth
    sys.stdout.write(
        f"{runs} runs: {1000 * total / runs:.1f} ms of processor time a run, with the plan and the table; "
        f"the first tenth {1000 * first:.1f} ms a run, the last {1000 * last:.1f} ms; "
        f"memory {marks[tenth][1] / 1000:.0f} MB after the first tenth, {marks[-1][1] / 1000:.0f} MB at the end\n"
    )


def kills(times: int, seed: int) -> None:
    """Kills workers, and every fifth time the driver, and compares the study with one that was never disturbed."""
    draw = random.Random(seed)  # noqa: S311
    words = ("compare", "lenet", "--epochs", "4", "--seeds", "12", "--name", "kills", "--workers", "2")
    with tempfile.TemporaryDirectory() as quiet, tempfile.TemporaryDirectory() as store:
        subprocess.run(command(*words, "--store", quiet), check=True, capture_output=True)
        killed = {"worker": 0, "driver": 0}
        code = 1
        while sum(killed.values()) < times or code != 0:
            if code == 0:
                subprocess.run(command("remove", "kills", "--yes", "--store", store), check=True, capture_output=True)
            nothing = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            driver = subprocess.Popen(command(*words, "--store", store), **nothing)
            while driver.poll() is None:
                time.sleep(draw.uniform(0.5, 6))
                victims, number = workers_of(driver.pid), sum(killed.values())
                if number < times and victims:
                    what = "driver" if number % 5 == 4 else "worker"
                    killed[what] += 1
                    with suppress(ProcessLookupError):
                        os.kill(driver.pid if what == "driver" else draw.choice(victims), signal.SIGKILL)
            code = driver.returncode
        same = json.loads(subprocess.check_output(command("results", "kills", "--json", "--store", store)))
        weights = {
            root: {path.parent.name: path.read_bytes() for path in Path(root).glob("runs/*/weights.safetensors")}
            for root in (quiet, store)
        }
        equal = sum(weights[store].get(name) == content for name, content in weights[quiet].items())
        retried = [text for text in same["notes"] if text.startswith("Tried again")]
        sys.stdout.write(
            f"{killed['worker']} kills of a worker, {killed['driver']} of the driver: {equal} of {len(weights[quiet])} "
            f"runs have the weights of a study that nobody disturbed\n{' '.join(retried)}\n"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory", "overhead", "kills"])
    parser.add_argument("--pairs", type=int, default=3, help="of commands that are timed")
    parser.add_argument("--runs", type=int, default=1000, help="of the measurement of overhead")
    parser.add_argument("--times", type=int, default=20, help="of kills")
    parser.add_argument("--seed", type=int, default=0, help="of the instants of the kills")
    given = parser.parse_args()
    match given.what:
        case "speed":
            speed(given.pairs)
        case "memory":
            memory()
        case "overhead":
            overhead(given.runs)
        case "kills":
            kills(given.times, given.seed)


if __name__ == "__main__":
    main()

"""What a Ray cluster of two machines, which are groups of processes on this one, makes of a study; see `scale`."""

import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workers import Rows, _finished, _records, _statuses, _wait_for_training, command

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def same_bits() -> Rows:
    """A study of 24 short runs in one process, with two workers and on a Ray cluster, each with one thread a run."""
    words = ("compare", "lenet", "residual_mlp", "--epochs", "2", "--seeds", "12", "--name", "bits")
    rows: Rows = []
    with tempfile.TemporaryDirectory() as folder, cluster() as (made, _):
        ways = {
            "in process": (),
            "2 workers": ("--workers", "2"),
            "Ray, 2 machines": ("--executor", "ray", "--address", made.address),
        }
        stores = {way: Path(folder) / str(number) for number, way in enumerate(ways)}
        for way, flags in ways.items():
            whole = command(*words, *flags, "--store", str(stores[way]))
            subprocess.run(whole, check=True, capture_output=True, env=ONE_THREAD)
            bits, here = contents(stores[way]), contents(stores["in process"])
            rows.append(
                {
                    "executor": way,
                    "runs": len(bits),
                    "with the bits of one process": sum(bits[name] == here.get(name) for name in bits),
                }
            )
    return rows


def kills() -> Rows:
    """Kills Ray workers, machines and the driver, five times each, and compares with a study that nobody disturbed."""
    draw, times = random.Random(0), 15  # noqa: S311
    words = ("compare", "lenet", "--epochs", "20", "--seeds", "12", "--name", "kills")
    killed = {"worker": 0, "machine": 0, "driver": 0}
    studies = runs = equal = lost = retried = shown = 0
    with tempfile.TemporaryDirectory() as folder, cluster() as (made, nodes):
        quiet = Path(folder) / "quiet"
        subprocess.run(command(*words, "--store", str(quiet)), check=True, capture_output=True, env=ONE_THREAD)
        flags = ("--executor", "ray", "--address", made.address)
        while sum(killed.values()) < times:
            store, sealed = Path(folder) / str(studies), dict[str, bytes]()
            while _statuses(store).count("finished") < 12:  # a run that has lost three workers in a row has failed
                nothing = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                whole = command(*words, *flags, "--store", str(store))
                driver = subprocess.Popen(whole, env=ONE_THREAD, **nothing)
                while driver.poll() is None:
                    _wait_for_training(driver, store)
                    time.sleep(draw.uniform(0, 8))
                    what, victims = list(killed)[sum(killed.values()) % 3], workers_of_cluster(made, nodes)
                    if sum(killed.values()) == times or not victims or driver.poll() is not None:
                        continue
                    killed[what] += 1
                    with suppress(ProcessLookupError):
                        if what == "machine":
                            replace_machine(made, nodes)
                        else:
                            os.kill(draw.choice(victims) if what == "worker" else driver.pid, signal.SIGKILL)
                now = _finished(store)
                lost += sum(now.get(name) != content for name, content in sealed.items())
                sealed = now
            there, here = contents(store), contents(quiet)
            studies, runs = studies + 1, runs + len(here)
            equal += sum(there.get(name) == content for name, content in here.items())
            again = [run["recipe"]["seed"] for run in _records(store) if run["retried"]]
            page = (store / "studies" / "kills" / "report.html").read_text("utf-8")
            retried += len(again)
            shown += sum(f"lenet seed {seed} (its Ray" in page for seed in again)
    return [
        {
            **{f"{what}s killed": number for what, number in killed.items()},
            "studies": studies,
            "runs": runs,
            "with the bits of an undisturbed study": equal,
            "stored runs lost or trained again": lost,
            "tried again": retried,
            "of which the page says it": shown,
        }
    ]


@contextmanager
def cluster() -> Iterator[tuple[Any, list[Any]]]:
    """A cluster of two machines with a core each, and the list of those that are not its head."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield made, [made.add_node(num_cpus=1)]
    finally:
        made.shutdown()


def replace_machine(made: Any, nodes: list[Any]) -> None:
    """Kills a machine, that is, the process that its workers cannot do without, and adds another one."""
    node = nodes.pop()
    (raylet,) = node.all_processes["raylet"]
    os.kill(raylet.process.pid, signal.SIGKILL)
    made.remove_node(node, allow_graceful=False)
    nodes.append(made.add_node(num_cpus=1))


def workers_of_cluster(made: Any, nodes: list[Any]) -> list[int]:
    """The processes that train for the cluster."""
    raylets = {node.all_processes["raylet"][0].process.pid for node in (made.head_node, *nodes)}
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = (path / "status").read_text("utf-8").splitlines()
            parent = next(int(line.split()[1]) for line in status if line.startswith("PPid:"))
            if parent in raylets and (path / "cmdline").read_bytes().startswith(b"ray::RayTrainer"):
                found.append(int(path.name))
    return found


def contents(store: Path) -> dict[str, list[Any]]:
    """What a store has of each run, by its folder: weights, predictions, and epochs without their seconds."""
    found = {}
    for path in (seal.parent for seal in store.glob("runs/*/outcome.json")):
        rows = [json.loads(line) for line in (path / "history.jsonl").read_text("utf-8").splitlines()]
        epochs = [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
        scores = json.loads((path / "outcome.json").read_text("utf-8"))["test"]
        files = [(path / name).read_bytes() for name in ("weights.safetensors", "predictions.npz")]
        found[path.name] = [*files, epochs, scores]
    return found

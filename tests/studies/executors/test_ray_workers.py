"""Ray workers train the same bits as this process; what is lost with one goes on from the checkpoint that came back.

Most tests have a stand-in for Ray, whose actors are objects of this process.
"""

import dataclasses
import logging
import os
import pickle
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from fake_ray import FakeRay

import convarium
from convarium.cli import main
from convarium.errors import ConvariumError, RecipeError, RunError, TimeLimitError
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import WORKERS_VARIABLE
from convarium.runs.store import Store
from convarium.runs.tensorboard import event_log
from convarium.studies.executors import ray_cluster, ray_trainer, ray_worker, ray_workers
from convarium.studies.executors.ray_messages import RayData, open_splits
from convarium.studies.executors.ray_workers import RayWorkers
from convarium.studies.resources import Resources
from convarium.studies.run import run_study, train_one
from convarium.studies.study import Study, grid
from convarium.training import loop
from own_modules import forget

BASE = Recipe(model="residual_mlp", epochs=2, batch_size=64)


@pytest.fixture
def ray(monkeypatch, tmp_path):
    """The stand-in, for whoever imports Ray."""
    stand_in, log = FakeRay(), logging.getLogger("convarium")
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    monkeypatch.setenv(WORKERS_VARIABLE, "1")
    monkeypatch.setattr(log, "handlers", [*log.handlers])
    monkeypatch.setattr(ray_worker, "_PAUSE", 0.01)
    monkeypatch.setattr(ray_workers, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(ray_trainer.tempfile, "tempdir", str(tmp_path))
    propagates, level = log.propagate, log.level
    yield stand_in
    log.propagate = propagates
    log.setLevel(level)


@pytest.fixture
def pool(ray):
    with RayWorkers() as workers:
        yield workers


@pytest.fixture
def resources(tmp_path, pool):
    return Resources(Store(tmp_path / "store"), executor=pool)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A study of three runs as this process trains it."""
    return run_study(study(), Resources(Store(tmp_path_factory.mktemp("alone")), device="cpu")).rows[0].runs


def study(seeds=range(3), **changes):
    return Study(name="nets", question="?", recipes=grid(dataclasses.replace(BASE, **changes), seed=seeds))


def is_same(one, other):
    """Whether two runs have the same numbers, times apart."""
    weights = one.weights(), other.weights()
    histories = ([dataclasses.replace(row, seconds=0.0) for row in run.outcome.history] for run in (one, other))
    return (
        next(histories) == next(histories)
        and one.outcome.test == other.outcome.test
        and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0].keys() | weights[1].keys())
    )


def kinds(run):
    """The names of a run's files, without those of the process that wrote an event file."""
    return sorted(path.name.split(".tfevents")[0] for path in run.path.iterdir())


def test_a_study_on_two_machines_has_the_bits_of_one_process_though_a_worker_is_killed(tmp_path, monkeypatch):
    """The only test with Ray itself: a cluster of two machines, which are groups of processes here."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    own = tmp_path / "code"
    own.mkdir()
    (own / "own_ray_net.py").write_text(
        "from torch import nn\n"
        "def flat(spec):\n    return nn.Sequential(nn.Flatten(), nn.Linear(spec.height * spec.width, spec.classes))\n"
    )
    monkeypatch.syspath_prepend(own)
    long = study(range(2), epochs=8)  # so that what is killed is in training
    before, killed, nodes = signal.getsignal(signal.SIGTERM), [], set()
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        signal.signal(signal.SIGTERM, before)  # Ray handles it in its own way
        with RayWorkers(cluster.address) as pool:
            assert (pool.workers, pool.threads, str(pool.device)) == (2, 1, "cpu")
            resources = Resources(Store(tmp_path / "store"), executor=pool)

            def kill(event):
                nodes.update(worker.hello.node for worker in pool.busy())
                if event.training and event.recipe.seed == 0 and not killed:
                    (busy,) = (worker for worker in pool.busy() if worker.number == 0)
                    killed.append(busy.hello.process)
                    os.kill(busy.hello.process, signal.SIGKILL)

            runs = run_study(long, resources, on_event=kill).rows[0].runs
            own_run = train_one(dataclasses.replace(BASE, model="own_ray_net:flat", epochs=1), resources)
    finally:
        cluster.shutdown()
        forget(own)
    alone = run_study(long, Resources(Store(tmp_path / "alone"), device="cpu")).rows[0].runs
    assert len(nodes) == 2
    assert killed
    assert all(is_same(one, other) for one, other in zip(runs, alone, strict=True))
    assert [kinds(run) for run in runs] == [kinds(run) for run in alone]
    assert [run.outcome.retried for run in runs] == ["its Ray worker was lost", None]
    assert own_run.outcome.status == "finished"
    assert signal.getsignal(signal.SIGTERM) == before
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ


def test_the_stand_in_trains_the_same_bits_and_each_data_set_is_put_once(ray, resources, pool, alone, tmp_path):
    events = []
    comparison = run_study(study(), resources, on_event=events.append)
    assert all(is_same(one, other) for one, other in zip(comparison.rows[0].runs, alone, strict=True))
    assert [kinds(run) for run in comparison.rows[0].runs] == [kinds(run) for run in alone]
    with_epochs = dataclasses.replace(resources, store=Store(tmp_path / "kept"), keep_weights=1)
    kept = train_one(BASE, with_epochs)
    assert kept.kept_epochs == (0, 1, 2)
    assert all(torch.equal(tensor, kept.weights()[name]) for name, tensor in kept.epoch_weights(2).items())
    assert ray.puts == len(pool._data._arrays) <= 6
    assert ray.options[0] == {"num_cpus": 1.0, "num_gpus": 0.0, "max_restarts": 0, "max_task_retries": 0}
    assert [event.number for event in events if event.finished] == [1, 2, 3]
    assert any("1 thread, " in note for note in comparison.notes)
    assert any(event.training and event.training.history is None for event in events)


def test_the_run_of_a_lost_worker_goes_on_from_the_checkpoint_that_came_back(
    ray, resources, alone, monkeypatch, tmp_path
):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    checkpoints, notices = [], []

    def lose(number, method):
        found = list(resources.store.root.glob("runs/*/last.ckpt"))
        return "…" if method == "exchange" and found and number == 0 else None

    def listen(event):
        checkpoints.extend(resources.store.root.glob("runs/*/last.ckpt"))
        notices.extend([event.notice] if event.notice else [])

    ray.lose = lose
    run = train_one(BASE, resources, on_event=listen)
    assert (run.outcome.status, run.outcome.retried) == ("finished", "its Ray worker was lost")
    assert notices == ["residual_mlp seed 0: its Ray worker was lost; it is tried again from its last checkpoint"]
    assert is_same(run, alone[0])
    assert checkpoints
    resources.executor.end_processes()
    assert not list(tmp_path.glob("convarium-ray-*"))
    later = train_one(BASE, resources)
    assert later.outcome.retried == "its Ray worker was lost"


def test_a_run_that_is_lost_three_times_without_getting_further_has_failed(ray, resources):
    notices = []
    ray.lose = lambda number, method: "its node has died" if method == "exchange" else None
    run = train_one(BASE, resources, on_event=lambda event: notices.extend([event.notice] if event.notice else []))
    assert run.outcome.status == "failed"
    assert run.outcome.message == "its Ray node was lost, three times in a row"
    again = "residual_mlp seed 0: its Ray node was lost; it is tried again from its last checkpoint"
    assert notices == [again, again, "residual_mlp seed 0 failed: its Ray node was lost, three times in a row"]


def test_a_run_for_which_the_memory_of_a_worker_does_not_suffice_is_tried_again_once(ray, resources, monkeypatch):
    def fit(*given, **options):
        raise RuntimeError("can't allocate memory: you tried to allocate 2 bytes")

    monkeypatch.setattr("convarium.studies.fitting.fit", fit)
    run = train_one(BASE, resources)
    assert (run.outcome.status, run.outcome.retried) == ("failed", "its Ray worker ran out of memory")
    assert run.outcome.message.startswith("RuntimeError: can't allocate memory")
    assert len(ray.options) == 2


def test_ray_says_that_memory_was_short(ray, resources):
    said = "The node was running low on memory"
    ray.lose = lambda number, method: said if method == "exchange" and number == 0 else None
    assert train_one(BASE, resources).outcome.retried == "its Ray worker ran out of memory"


def test_when_the_time_is_over_the_checkpoint_comes_back_and_the_next_call_ends_with_the_same_bits(
    ray, resources, monkeypatch, tmp_path
):
    recipe, begun = dataclasses.replace(BASE, epochs=4), []
    monkeypatch.setattr(Resources, "is_time_over", lambda _: bool(begun))
    with pytest.raises(TimeLimitError, match="the time limit is reached with 0 of 1 run finished"):
        train_one(recipe, resources, on_event=lambda event: begun.extend([event] if event.training else []))
    (checkpoint,) = resources.store.root.glob("runs/*/last.ckpt")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "ray", ray)
    run = train_one(recipe, Resources(resources.store, device="cpu"))
    assert not checkpoint.exists()
    assert is_same(run, train_one(recipe, Resources(Store(tmp_path / "here"), device="cpu")))


def test_an_error_of_a_listener_ends_the_workers_with_checkpoints(resources, pool):
    def interrupt(event):
        if event.training:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_one(dataclasses.replace(BASE, epochs=1000), resources, on_event=interrupt)
    assert len(list(resources.store.root.glob("runs/*/last.ckpt"))) == 1
    assert not pool._workers


def test_a_checkpoint_that_is_damaged_is_set_aside_in_the_store(resources, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    notices, splits = [], resources.splits(BASE)
    key = BASE.key(splits.digest)
    folder = resources.store.begin(BASE, key)
    (folder / "last.ckpt").write_bytes(b"no checkpoint")

    def listen(event):
        notices.extend([event.notice] if event.notice else [])
        if event.training and event.training.history:
            assert (folder / "last.ckpt.damaged").read_bytes() == b"no checkpoint"

    assert train_one(BASE, resources, on_event=listen).outcome.status == "finished"
    assert "is damaged; it begins anew, and the file is kept as last.ckpt.damaged" in notices[0]


def test_a_stack_is_one_task_and_ends_with_the_bits_that_it_has_here(ray, resources, tmp_path):
    def runs(given):
        return run_study(study(epochs=1), given, stack=True).rows[0].runs

    stacked = runs(resources)
    assert len(ray.options) <= 2
    assert {len(run.outcome.environment.stack) for run in stacked} == {3}
    here = runs(Resources(Store(tmp_path / "here"), device="cpu"))
    assert all(is_same(one, other) for one, other in zip(stacked, here, strict=True))


def test_what_a_network_raises_on_a_worker_is_recorded_and_an_error_of_ones_own_is_raised(ray, resources, monkeypatch):
    def fit(*given, **options):
        raise ValueError("of Convarium itself")

    monkeypatch.setattr("convarium.studies.fitting.fit", fit)
    with pytest.raises(ValueError, match="of Convarium itself") as raised:
        train_one(BASE, resources)
    assert "Traceback" in "".join(raised.value.__notes__)


def test_a_disk_that_is_full_ends_no_run(resources, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    notices = []

    def write_file(path, fill):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(ray_worker, "write_file", write_file)
    run = train_one(BASE, resources, on_event=lambda event: notices.extend([event.notice] if event.notice else []))
    assert run.outcome.status == "finished"
    (notice,) = notices
    assert notice.startswith("the checkpoint of residual_mlp seed 0 cannot be written (No space left on device: ")


def test_splits_are_the_same_elsewhere_and_share_their_arrays(resources):
    splits, put = resources.splits(BASE), []
    data = RayData(lambda array: put.append(array) or len(put) - 1)
    packed = data.pack(splits)
    opened = open_splits(pickle.loads(pickle.dumps(packed)), lambda numbers: [put[number] for number in numbers])
    for part in ("train", "validation", "test"):
        for name in ("images", "labels"):
            one, other = getattr(getattr(splits, part), name), getattr(getattr(opened, part), name)
            assert torch.equal(one, other)
            assert any(np.shares_memory(other.numpy(), array) for array in put)
    assert (opened.digest, opened.mean) == (splits.digest, splits.mean)
    assert data.pack(splits) is packed


def test_workers_that_begin_at_the_same_time_put_a_data_set_once(resources):
    splits, put = resources.splits(BASE), []

    def slowly(array):
        time.sleep(0.005)
        put.append(array)
        return len(put) - 1

    data = RayData(slowly)
    with ThreadPoolExecutor(4) as threads:
        packed = list(threads.map(lambda _: data.pack(splits), range(4)))
    assert all(each is packed[0] for each in packed)
    assert len(put) == len(packed[0].arrays)


def test_room_is_counted_for_cores_and_shares_of_gpus():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 3.0}},
        {"Alive": True, "Resources": {}},
        {"Alive": False, "Resources": {"CPU": 99.0, "GPU": 9.0}},
    ]
    rooms = {
        (1, 0): 11,
        (2, 0): 5,
        (0.5, 0): 22,
        (1, 0.25): 8,
        (1, 1): 2,
        (1, 2): 1,
        (1, 0.3): 6,
        (4, 0.25): 2,
        (9, 0): 0,
    }
    for (cpus, gpus), room in rooms.items():
        assert ray_cluster.places(nodes, cpus=cpus, gpus=gpus) == room, (cpus, gpus)
    assert ray_cluster.has_gpus(nodes)
    assert not ray_cluster.has_gpus(nodes[1:])


def test_a_run_that_no_machine_has_room_for_is_refused_or_waited_for(ray, resources, monkeypatch):
    ray.cpus, notices, over = 0.0, [], []
    monkeypatch.setattr(Resources, "is_time_over", lambda _: bool(over))

    def listen(event):
        notices.append(event.notice)
        over.append(event)

    with pytest.raises(TimeLimitError):
        train_one(BASE, resources, on_event=listen)
    wrong = "no machine of the Ray cluster has room for a run, which takes 1 CPU"
    assert notices == [f"{wrong}; waiting for one (Ctrl-C ends that)"]
    monkeypatch.setattr(resources.executor, "_is_own", True)
    with pytest.raises(RunError, match=wrong) as raised:
        train_one(BASE, resources)
    assert raised.value.hint == "use a smaller --cpus-per-run or --gpus-per-run"


def test_gpus_are_taken_if_the_cluster_has_any(ray, monkeypatch):
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}])
    for given, found in [
        ({}, (1.0, "cuda", 2)),
        ({"gpus": 0.25, "cpus": 2}, (0.25, "cuda", 4)),
        ({"gpus": 0}, (0.0, "cpu", 8)),
        ({"device": "cpu"}, (0.0, "cpu", 8)),
        ({"limit": 3, "gpus": 0}, (0.0, "cpu", 3)),
    ]:
        with RayWorkers(**given) as pool:
            assert (pool.gpus, str(pool.device), pool.workers) == found


def test_workers_that_cannot_start_or_are_of_another_version_say_so(ray, resources, monkeypatch):
    monkeypatch.setattr(ray_workers, "code_digest", lambda: "another")
    wrong = "a machine of the Ray cluster has another version of Convarium than this one"
    with pytest.raises(RunError, match=wrong):
        train_one(BASE, resources)
    ray.lose = lambda number, method: "No module named 'convarium'" if method == "hello" else None
    with pytest.raises(RunError, match=r"Ray workers cannot start \(No module named 'convarium'\)"):
        train_one(BASE, resources)


def test_more_workers_are_asked_for_than_there_is_room_so_that_a_cluster_can_grow(ray, pool):
    assert not pool.idle(100)
    assert len(pool.idle(100)) == 1
    assert len(ray.options) == 2
    assert len(pool.idle(1)) == 1  # nobody else waits any more, and what was asked for too much is taken back
    assert len(pool._workers) == 1
    pool.end_processes()


def test_folders_that_killed_workers_left_behind_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_trainer.tempfile, "tempdir", str(tmp_path))
    stale, young = tmp_path / "convarium-ray-1", tmp_path / "convarium-ray-2"
    for folder in (stale, young):
        folder.mkdir()
        (folder / "last.ckpt").touch()
    os.utime(stale, (0, 0))
    ray_trainer._remove_stale_folders()
    assert [stale.exists(), young.exists()] == [False, True]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cpus": 0}, r"cpus_per_run is out of range: expected more than 0, received 0"),
        ({"cpus": float("nan")}, r"cpus_per_run is out of range"),
        ({"gpus": -1}, r"gpus_per_run is out of range: expected 0 to 1, or a whole number, received -1"),
        ({"gpus": 1.5}, r"gpus_per_run is out of range"),
        ({"device": "mps"}, r"device does not suit the executor: expected cpu or cuda with ray, received 'mps'"),
        ({"device": "cpu", "gpus": 1}, "gpus_per_run takes GPUs for runs on a CPU"),
        ({"device": "cuda", "gpus": 0}, "gpus_per_run is 0 for runs on CUDA"),
        ({"limit": 0}, "workers is out of range: expected 1 or more, or auto, received 0"),
    ],
)
def test_shares_that_cannot_be_are_refused(ray, given, said):
    with pytest.raises(RecipeError, match=said):
        RayWorkers(**given)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--executor", "rey"], "unknown executor 'rey'; did you mean 'ray'?"),
        (["--address", "here:1"], "address take executor='ray'; on the command line, --executor ray"),
        (["--executor", "ray", "--cpus-per-run", "-1"], "cpus_per_run is out of range"),
    ],
)
def test_the_command_line_refuses_them_too(ray, words, said, tmp_path, capsys):
    assert main(["compare", "lenet", *words, "--store", str(tmp_path)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_without_ray_one_sentence_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConvariumError, match="Ray is not installed") as raised:
        RayWorkers()
    assert raised.value.hint == 'pip install "convarium[ray]"'
    assert main(["compare", "lenet", "--executor", "ray", "--store", str(tmp_path)]) == 2
    assert 'Ray is not installed; pip install "convarium[ray]"' in capsys.readouterr().err


def test_a_cluster_that_cannot_be_reached_is_named(monkeypatch):
    class Ray(FakeRay):
        _private = type("private", (), {"worker": type("worker", (), {"_worker_logs_enabled": True})})

        def is_initialized(self):
            return False

        def init(self, address, **given):
            assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
            assert not self._private.worker._worker_logs_enabled
            if address != "local" or len(self.options):
                raise ConnectionError("nobody answers.\nMore")

        def shutdown(self):
            self.alive = False

    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = Ray()
    monkeypatch.setitem(sys.modules, "ray", ray)
    with ray_cluster.connected(None) as is_own:
        assert is_own
    assert not ray.alive
    assert ray._private.worker._worker_logs_enabled
    with pytest.raises(RunError, match=r"the Ray cluster at a:1 cannot be reached \(nobody answers\)"):
        ray_cluster.connected("a:1").__enter__()
    monkeypatch.setenv("RAY_ADDRESS", "b:2")
    with pytest.raises(RunError, match=r"the Ray cluster at b:2 cannot be reached"):
        ray_cluster.connected(None).__enter__()
    monkeypatch.delenv("RAY_ADDRESS")
    ray.options.append({})
    with pytest.raises(RunError, match=r"Ray cannot be started here \(nobody answers\)"):
        ray_cluster.connected(None).__enter__()


@pytest.mark.parametrize("address", [None, "auto", "192.0.2.1:6379", "127.0.0.1:6379", "ray://192.0.2.1:10001"])
def test_a_connection_that_was_there_before_is_used(ray, address):
    with ray_cluster.connected(address) as is_own:
        assert not is_own
    assert ray.alive


@pytest.mark.parametrize(
    "address", ["192.0.2.2:6379", "192.0.2.1:7000", "ray://192.0.2.2:10001", "no.such.host.invalid:6379"]
)
def test_a_process_that_is_connected_to_one_cluster_does_not_train_on_it_in_place_of_another(ray, address, tmp_path):
    wrong = (
        f"this process is connected to the Ray cluster at 192.0.2.1:6379, and not to {address}; leave out the address"
    )
    with pytest.raises(RunError, match=re.escape(wrong)):
        convarium.compare(["lenet"], executor="ray", address=address, store=tmp_path)


def test_event_files_may_be_open_in_several_threads(tmp_path):
    before, opened, go_on = threading.excepthook, threading.Event(), threading.Event()

    def other():
        with event_log(tmp_path / "b"):
            opened.set()
            go_on.wait(10)

    thread = threading.Thread(target=other)
    with event_log(tmp_path / "a"):
        thread.start()
        opened.wait(10)
    assert threading.excepthook != before
    go_on.set()
    thread.join()
    assert threading.excepthook == before

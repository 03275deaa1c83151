"""Machines that train together find each other, are told what to train, and say what is wrong."""

import dataclasses
import io
import threading
import time
from contextlib import contextmanager

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from convarium.errors import RecipeError, RunError, TimeLimitError
from convarium.recipes.recipe import Recipe
from convarium.training import lightning_messages, lightning_nodes, lightning_ranks
from convarium.training.engines import LightningEngine, is_other_node
from convarium.training.lightning_nodes import ending_nodes, other_ranks, serve_node
from convarium.training.lightning_ranks import Job
from convarium.training.starting import StartWeights
from convarium.training.stopping import TrainingStoppedError
from small_networks import few

CPU = torch.device("cpu")
THREE = LightningEngine(nodes=3)
WEIGHTS = StartWeights("own.safetensors", "5" * 64, {"w": torch.arange(3.0)}, frozenset({"w"}))


@pytest.fixture(scope="module")
def job():
    return Job(Recipe(seed=7), few(8), THREE, "cpu", WEIGHTS)


@pytest.fixture(autouse=True)
def meeting_place(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(find_free_network_port()))


@contextmanager
def served(monkeypatch, engine, job):
    """Inside, the other machines serve the first; gives the errors with which they end, or None."""
    ends = []

    def serve():
        try:
            ends.append(serve_node(engine, lambda recipe: job.splits, device=CPU))
        except BaseException as error:
            ends.append(error)

    monkeypatch.setenv("NODE_RANK", "1")
    machines = [threading.Thread(target=serve) for _ in range(engine.nodes - 1)]
    for machine in machines:
        machine.start()
    yield ends
    for machine in machines:
        machine.join()


@pytest.mark.parametrize("loss", [None, "its peer is gone"])
@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (TimeLimitError("the time limit is reached"), "the time limit of the first machine is reached; give the same"),
        (KeyboardInterrupt(), "the first machine was stopped before all was trained; give the same command again on"),
        (RunError("broken"), "the first machine has ended with an error before all was trained; give the same"),
    ],
)
def test_the_other_machines_end_as_the_first_one_does(monkeypatch, job, error, ended, loss):
    """Their devices wait for it until they are ended, or end by an error because it is gone."""

    class Waiting:
        def __init__(self, *_):
            self.is_running = loss is None

        def loss(self):
            return loss

        def wait(self, seconds):
            time.sleep(0.01)

        def close(self):
            closed.append(self)

    closed = []
    monkeypatch.setattr(lightning_nodes, "Rank", Waiting)
    two = dataclasses.replace(job, engine=LightningEngine(nodes=2))

    def train():
        with ending_nodes(2):
            lightning_nodes._hand_over(two, port="1234", should_stop=lambda: False)
            raise error

    with served(monkeypatch, two.engine, two) as ends, pytest.raises(type(error)):
        train()
    assert len(closed) == 1
    expected = loss if loss and isinstance(error, RunError) else ended
    assert str(ends[0]).startswith(expected)
    assert isinstance(ends[0], TimeLimitError) == isinstance(error, TimeLimitError)


def test_two_machines_train_what_the_first_one_says_and_end_with_it(monkeypatch, job):
    """Recipe, data and the weights to start from; the devices themselves are left out here."""
    told = []

    class NoRank:
        is_running = False

        def __init__(self, job, rank, where):
            told.append((job, rank, where["NODE_RANK"]))

        wait = loss = close = lambda self, *seconds: None

    monkeypatch.setattr(lightning_nodes, "Rank", NoRank)
    with served(monkeypatch, dataclasses.replace(THREE, devices=2), job) as ends, ending_nodes(3):
        lightning_nodes._hand_over(job, port="1234", should_stop=lambda: False)
    assert ends == [None, None]
    jobs = [each for each in told if isinstance(each, tuple)]
    assert sorted(rank for _, rank, _ in jobs) == [0, 0, 1, 1]
    for other, _, node in jobs:
        assert (other.recipe, other.splits, node) == (job.recipe, job.splits, "1")
        assert (other.start.name, other.start.digest, other.start.new) == (WEIGHTS.name, WEIGHTS.digest, WEIGHTS.new)
        assert torch.equal(other.start.tensors["w"], WEIGHTS.tensors["w"])


def test_what_keeps_machines_from_meeting_is_said(monkeypatch, job):
    monkeypatch.setattr(lightning_nodes, "PATIENCE", 0.3)
    with pytest.raises(RunError, match="not all of the 3 machines answer; give the same command on each"):
        lightning_nodes._hand_over(job, port="1", should_stop=lambda: False)
    with pytest.raises(TrainingStoppedError):
        lightning_nodes._hand_over(job, port="1", should_stop=lambda: True)
    with pytest.raises(RunError, match=r"the first machine does not answer at 127\.0\.0\.1:\d+; give the same"):
        serve_node(THREE, lambda recipe: job.splits, device=CPU)
    facts = {"recipe": job.recipe.to_json(), "digest": "other", "port": "1"}
    monkeypatch.setattr(lightning_nodes, "receive", lambda *_: (facts, None))
    with pytest.raises(RunError, match="the images of digits are others here than on the first machine: expected"):
        serve_node(THREE, lambda recipe: job.splits, device=CPU)
    monkeypatch.delenv("MASTER_PORT")
    with pytest.raises(RecipeError, match=r"several nodes need MASTER_ADDR and MASTER_PORT.*set them on each machine"):
        lightning_nodes._hand_over(job, port="1", should_stop=lambda: False)


@pytest.mark.parametrize("cut", [b"", b"\0\0", b"\0\0\0\0\0\0\0\x05abc"])
def test_a_message_that_was_cut_is_waited_for_again(cut):
    with pytest.raises(ConnectionError):  # an OSError, after which the first machine is asked again
        lightning_messages._read_part(io.BytesIO(cut))


def test_a_machine_knows_whether_it_is_the_first(monkeypatch):
    assert not is_other_node(THREE)
    monkeypatch.setenv("NODE_RANK", "2")
    assert is_other_node(THREE)
    assert not is_other_node(LightningEngine(devices=2))
    assert not is_other_node(None)
    monkeypatch.setenv("NODE_RANK", "3")
    with pytest.raises(RecipeError, match="NODE_RANK is out of range: expected 0 to 2, received '3'"):
        is_other_node(THREE)


@pytest.mark.parametrize(
    ("program", "ended"),
    [
        ("raise SystemExit('broken')", "ended with exit code 1: broken; give the same command again"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL; give the same command again"),
    ],
)
def test_a_device_whose_process_ends_is_named_with_the_last_that_it_said(monkeypatch, job, program, ended):
    monkeypatch.setattr(lightning_ranks, "_START", program)
    two = dataclasses.replace(job, engine=LightningEngine(devices=2), start=None)
    with pytest.raises(RunError, match=f"the process of device 1 {ended}"), other_ranks(two, lambda: False):
        raise RuntimeError("connection closed")

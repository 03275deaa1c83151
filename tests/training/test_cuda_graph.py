"""A captured step is the step: on the CPU with a stand-in for the graph, on CUDA with the graph itself."""

import dataclasses
import random
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from convarium.models.build import build_model
from convarium.recipes.recipe import Recipe
from convarium.studies.study import grid
from convarium.training import cuda_graph, fit, fit_stack, parallel
from convarium.training import loop as training_loop
from convarium.training.cuda_graph import WARMUP_STEPS
from convarium.training.loop import make_step
from convarium.training.optimizers import make_optimizer, set_learning_rate
from convarium.training.stacked import fit_stacked_model
from convarium.training.stopping import TrainingStoppedError
from small_networks import few, in_float64

CPU = torch.device("cpu")
# The rate and its half are float32 numbers, as the rates of a captured step are: so the bits can agree.
SMALL = Recipe(
    model="lenet",
    epochs=3,
    batch_size=8,
    learning_rate=2**-5,
    schedule="steps(milestones=[1], gamma=0.5)",
    validation=20,
    resize=16,
)


class Tape(TorchDispatchMode):
    """Like a CUDA graph: it repeats recorded operations with the tensors and the numbers of the recording, and writes
    into the recorded results. Unlike one it can only record what it does: its first replay is the recording.
    """

    made: ClassVar[list["Tape"]] = []

    def __init__(self):
        super().__init__()
        self.operations, self.warmups, self.replays, self.call = [], 0, 0, None
        self.made.append(self)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("called a synchronizing operation\nand more that nobody reads")
        result = operation(*args, **(kwargs or {}))
        self.operations.append((operation, args, kwargs or {}, result))
        return result

    def warm_up(self, call):
        for _ in range(WARMUP_STEPS - 1):
            call()
        with self:
            call()
        self.operations.clear()
        self.warmups += 1

    def capture(self, call):
        self.call = call

    def replay(self):
        self.replays += 1
        if not self.operations:
            with self:
                self.call()
            self.call = None
            return
        with torch.no_grad():
            for operation, args, kwargs, recorded in self.operations:
                results = tree_leaves(operation(*args, **kwargs))
                for old, new in zip(tree_leaves(recorded), results, strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


@pytest.fixture(scope="module")
def splits():
    return few(28, resize=16)  # three batches of eight, and one of four


@pytest.fixture
def on_tape(monkeypatch):
    """From when it is called, steps are recorded and replayed: PyTorch's, because a tape does not record C."""
    monkeypatch.setenv("CONVARIUM_KERNELS", "torch")
    Tape.made.clear()
    return lambda: monkeypatch.setattr(cuda_graph, "graph_for", lambda device, generators: Tape())


def same(a, b):
    assert a.status == b.status
    assert [dataclasses.replace(row, seconds=0) for row in a.history] == [
        dataclasses.replace(row, seconds=0) for row in b.history
    ]
    np.testing.assert_array_equal(a.step_loss, b.step_loss)
    np.testing.assert_array_equal(a.step_accuracy, b.step_accuracy)
    assert a.weights.keys() == b.weights.keys()
    for name, tensor in a.weights.items():
        assert torch.equal(tensor, b.weights[name]), name


ADAM = {"optimizer": "adam", "learning_rate": 2**-9}
SETTINGS = {
    "sgd": {"weight_decay": 0.01},
    "momentum, smoothing": {"momentum": 0.9, "label_smoothing": 0.1},
    "nesterov, two groups": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "decay_norms_and_biases": False},
    "adam": ADAM,
    "adamw, two groups": ADAM | {"optimizer": "adamw", "weight_decay": 0.5, "decay_norms_and_biases": False},
    "batch norm": {"model": "mnist_resnet", "momentum": 0.9},
    "dropout": {"model": "alexnet(hidden=16, width_divisor=8)", "momentum": 0.9},
    "dropout between convolutions": {"model": "residual_variant(depth=8, shortcut='dropout')"},
    "shared weights": {"model": "memory_mlp(hidden=16)"} | ADAM,
    "bfloat16": {"precision": "bfloat16"},
    "class weights, smoothing": {"class_weights": "balanced", "label_smoothing": 0.1},
    "the best epoch": {"select": "best_validation", "watch_test": True},
}


@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)
def test_a_captured_run_has_the_bits_of_one_that_is_not(changes, splits, on_tape):
    recipe = dataclasses.replace(SMALL, **changes)
    alone = fit(recipe, splits, device="cpu")
    on_tape()
    same(fit(recipe, splits, device="cpu"), alone)
    (tape,) = Tape.made
    assert (tape.warmups, tape.replays) == (1, 9)  # the last batch of each epoch is a smaller one


@pytest.mark.parametrize("changes", [SETTINGS["dropout"], SETTINGS["nesterov, two groups"], ADAM], ids=str)
def test_a_captured_run_cut_off_and_resumed_has_the_same_bits(changes, splits, on_tape, tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", 0.0)
    recipe = dataclasses.replace(SMALL, **changes)
    alone = fit(recipe, splits, device="cpu")
    on_tape()

    class Killed(BaseException):
        pass

    def kill(progress):
        if progress.history is None and (progress.epoch, progress.step) == (2, 2):
            raise Killed

    with pytest.raises(Killed):
        fit(recipe, splits, device="cpu", folder=tmp_path, on_event=kill)
    same(fit(recipe, splits, device="cpu", folder=tmp_path), alone)
    assert [tape.replays for tape in Tape.made] == [8, 2]  # the last checkpoint is that of the step before


def test_a_run_is_resumed_captured_in_mid_epoch_where_it_began_uncaptured(splits, on_tape, tmp_path):
    recipe, asked = dataclasses.replace(SMALL, momentum=0.9), []
    alone = fit(recipe, splits, device="cpu")

    def after_the_first_step_of_the_third_epoch():
        asked.append(1)
        return len(asked) == 9

    with pytest.raises(TrainingStoppedError):
        fit(recipe, splits, device="cpu", folder=tmp_path, should_stop=after_the_first_step_of_the_third_epoch)
    on_tape()
    same(fit(recipe, splits, device="cpu", folder=tmp_path), alone)
    assert [tape.replays for tape in Tape.made] == [2]


STACKED = {
    "dropout": SETTINGS["dropout"],
    "adam, shared weights": SETTINGS["shared weights"],
    "batch norm": SETTINGS["batch norm"],
    "class weights, smoothing": SETTINGS["class weights, smoothing"],
}


@pytest.mark.parametrize("changes", STACKED.values(), ids=STACKED)
def test_a_captured_stack_has_the_bits_of_one_that_is_not(changes, splits, on_tape, monkeypatch):
    monkeypatch.setattr(parallel, "_method_for", lambda device: fit_stacked_model)
    base = dataclasses.replace(SMALL, **changes)
    recipes = grid(base, seed=[0, 1], learning_rate=[base.learning_rate, 2 * base.learning_rate])
    alone = fit_stack(recipes, splits, device="cpu")
    on_tape()
    for a, b in zip(fit_stack(recipes, splits, device="cpu"), alone, strict=True):
        same(a, b)
    assert [tape.replays for tape in Tape.made] == [9]


@pytest.mark.parametrize("changes", [SETTINGS["dropout"] | {"momentum": 0.9}, SETTINGS["batch norm"], ADAM], ids=str)
def test_warming_up_leaves_no_trace(changes, splits, on_tape):
    on_tape()
    recipe = dataclasses.replace(SMALL, **changes)
    network = build_model(recipe.model, splits.train.spec)
    optimizer = make_optimizer(network, recipe)
    step = make_step(network, optimizer, recipe)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    batch = torch.rand(8, 1, 16, 16), torch.zeros(8, dtype=torch.long)
    drawn, python = torch.get_rng_state(), random.getstate()
    step._capture(step.graph, *batch)
    assert Tape.made[0].call
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(not value.any() for state in optimizer.state.values() for value in state.values())
    assert len(optimizer.state) == len(list(network.parameters()))
    assert torch.equal(torch.get_rng_state(), drawn)
    assert random.getstate() == python
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_a_step_returns_is_not_overwritten_by_the_next(splits, on_tape):
    on_tape()
    network = build_model("lenet", splits.train.spec)
    optimizer = make_optimizer(network, SMALL)
    step = make_step(network, optimizer, SMALL)
    batches = [(torch.rand(8, 1, 16, 16), torch.full((8,), label)) for label in (1, 2)]
    first, again = step(*batches[0]), step(*batches[0])
    values = first[0].item(), again[0].item()
    step(*batches[1])
    assert (first[0].item(), again[0].item()) == values
    assert values[1] < values[0]
    set_learning_rate(optimizer, 0.0)  # in place: the tape has no other way to know of it
    still = [step(*batches[1])[0].item() for _ in range(2)]
    assert still[0] == still[1]


class Waits(nn.Module):
    """The number of its parts depends on the numbers: it reads one, which no graph can."""

    def __init__(self, reads):
        super().__init__()
        self.linear, self.drop, self.reads = nn.Linear(256, 10), nn.Dropout(0.5), reads

    def forward(self, x):
        y = self.drop(self.linear(x.flatten(1)))
        return y * 2 if self.reads(y) > 0.5 else y


@pytest.mark.parametrize(
    ("reads", "reason"),
    [
        (lambda y: y.mean().item(), "called a synchronizing operation"),
        (lambda y: random.random(), "it draws random numbers in Python, which a graph would repeat"),
    ],
)
def test_a_network_that_cannot_be_captured_trains_without_and_says_so_once(reads, reason, splits, on_tape, caplog):
    def losses():
        torch.manual_seed(0)
        random.seed(1)
        network = Waits(reads)
        recipe = dataclasses.replace(SMALL, momentum=0.9)
        step = make_step(network, make_optimizer(network, recipe), recipe)
        torch.manual_seed(1)
        batches = [(torch.rand(8, 1, 16, 16), torch.arange(8)) for _ in range(4)]
        return [step(*batch)[0].item() for batch in batches]

    alone = losses()
    on_tape()
    assert losses() == alone
    assert Tape.made[0].replays == 0
    assert [record.getMessage() for record in caplog.records] == [
        f"the training step cannot be captured as a CUDA graph and runs without one, more slowly: {reason}"
    ]


def test_on_the_cpu_nothing_is_captured():
    assert cuda_graph.graph_for(CPU, []) is None


# `fit` requests deterministic kernels, and PyTorch warns where there are none.
nondeterministic = pytest.mark.filterwarnings("ignore:.*eterministic")
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")


@cuda
@nondeterministic
@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)
def test_on_cuda_captured_losses_are_those_of_the_step(changes, splits, monkeypatch, caplog):
    recipe = dataclasses.replace(SMALL, **changes)
    captured = fit(recipe, splits, device="cuda")
    assert not caplog.records
    monkeypatch.setattr(cuda_graph, "graph_for", lambda device, generators: None)
    eager = fit(recipe, splits, device="cuda")
    np.testing.assert_allclose(
        captured.step_loss, eager.step_loss, rtol=1e-2 if recipe.precision != "float32" else 1e-5
    )


@cuda
@nondeterministic
@pytest.mark.parametrize("changes", [SETTINGS["momentum, smoothing"], ADAM, SETTINGS["dropout"]], ids=str)
def test_on_cuda_captured_losses_agree_closely_in_float64(changes, splits, monkeypatch):
    with in_float64():
        recipe = dataclasses.replace(SMALL, **changes)
        captured = fit(recipe, splits, device="cuda")
        monkeypatch.setattr(cuda_graph, "graph_for", lambda device, generators: None)
        np.testing.assert_allclose(captured.step_loss, fit(recipe, splits, device="cuda").step_loss, rtol=1e-6)


@cuda
@nondeterministic
def test_on_cuda_a_network_that_waits_is_refused_before_it_is_captured(splits, caplog):
    device = torch.device("cuda")
    network = Waits(lambda y: y.mean().item()).to(device)
    step = make_step(network, make_optimizer(network, SMALL), SMALL)
    for _ in range(3):
        loss, _ = step(torch.rand(8, 1, 16, 16, device=device), torch.arange(8, device=device))
    assert torch.isfinite(loss)
    assert len(caplog.records) == 1

"""What an Apple GPU needs, as far as a machine without one can tell: no GPU of Apple's has run these tests."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from convarium.data.loading import load_data
from convarium.errors import RecipeError
from convarium.recipes.recipe import Recipe
from convarium.runs import environment
from convarium.training import numerics
from convarium.training.loop import make_step
from convarium.training.scoring import pick_device, predict_logits
from convarium.training.trainer import prepare_run

MPS = torch.device("mps")


@pytest.fixture
def apple_gpu(monkeypatch):
    """PyTorch as it answers where there is such a GPU, with the calls that it would get."""
    calls = []
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for name in ("manual_seed", "synchronize"):
        monkeypatch.setattr(torch.mps, name, lambda *given, name=name: calls.append((name, *given)))
    generator = SimpleNamespace(get_state=lambda: "the state", set_state=lambda state: calls.append(("set", state)))
    monkeypatch.setattr(torch.mps, "_get_default_mps_generator", lambda: generator)
    return calls


def test_it_is_used_only_where_it_is_there_and_named(apple_gpu):
    assert pick_device("mps") == MPS
    assert pick_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_without_one_it_is_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RecipeError, match="there is no Apple GPU here that PyTorch can use; use --device cpu"):
        pick_device("mps")


def test_its_generator_is_seeded_and_restored(apple_gpu):
    with numerics.preserved_generators(MPS):
        numerics.seed_generators(3, MPS)
    environment.synchronize(MPS)
    assert apple_gpu == [("manual_seed", 3), ("set", "the state"), ("synchronize",)]


def test_the_record_names_it_and_no_peak_of_its_memory(monkeypatch):
    monkeypatch.setattr(environment, "processor", lambda: "Apple M2")
    assert environment.environment(MPS).device == "mps: Apple M2"
    assert environment.peak_memory_bytes(MPS) is None


def test_its_convolutions_are_contiguous():
    assert numerics.memory_format(Recipe(precision="bfloat16"), MPS) == torch.contiguous_format


class NoFloat64(TorchDispatchMode):
    """Refuses every tensor of float64 numbers, which an Apple GPU cannot hold."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            assert not (isinstance(value, torch.Tensor) and value.dtype == torch.float64), func
        return result


@pytest.mark.parametrize("model", ["lenet(activation='gelu')", "residual_cnn", "resnet(depth=8)"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_batches_steps_and_scores_compute_nothing_in_float64(model, optimizer, monkeypatch):
    monkeypatch.setenv("CONVARIUM_KERNELS", "torch")
    recipe = Recipe(model=model, optimizer=optimizer, batch_size=32, resize=32, augment="flip, pad_crop(4)")
    splits = load_data("digits", resize=32)
    trainer = prepare_run(recipe, splits, torch.device("cpu"))
    step = make_step(trainer.network, trainer.optimizers[0], recipe, trainer.generators)
    batches = trainer.batches.epoch(0)
    with NoFloat64():
        step(*next(batches))
        predict_logits(trainer.runs[0].network, [next(batches)])

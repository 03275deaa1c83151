"""freeze: what is frozen keeps every bit and computes as in use; all ways of training agree on the rest."""

import dataclasses

import numpy as np
import pytest
import torch

from convarium.errors import RecipeError
from convarium.recipes.recipe import Recipe
from convarium.recipes.starting import is_under
from convarium.studies.plan import check_recipe
from convarium.studies.study import grid
from convarium.training import fit, fit_stack, parallel
from convarium.training.loop import make_step
from convarium.training.side_by_side import fit_side_by_side
from convarium.training.stacked import fit_stacked_model
from convarium.training.stopping import TrainingStoppedError
from convarium.training.trainer import initial_network, prepare_run
from small_networks import NETWORKS, few, in_float64

CPU = torch.device("cpu")
SMALL = Recipe(
    model="mnist_resnet", freeze="0", epochs=2, batch_size=6, learning_rate=0.02, momentum=0.9, validation=20, resize=16
)
DROPOUT = "residual_variant(depth=8, shortcut='dropout')"
ADAMW = {"optimizer": "adamw", "momentum": 0.0, "weight_decay": 0.5}


@pytest.fixture(scope="module")
def splits():
    return few(18, resize=16)


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS)
def test_what_is_frozen_keeps_every_bit_and_the_rest_is_trained(model, splits):
    """Parameters and running statistics, with a weight decay that changes every parameter that it touches."""
    whole = initial_network(dataclasses.replace(SMALL, model=model, freeze=None), splits, CPU)
    first = next(name.partition(".")[0] for name, _ in whole.named_parameters())
    recipe = dataclasses.replace(SMALL, model=model, freeze=first, weight_decay=0.1)
    trainer = prepare_run(recipe, splits, CPU)
    step = make_step(trainer.network, trainer.optimizers[0], recipe, trainer.generators)
    step(*next(trainer.batches.epoch(0)))
    before, after = whole.state_dict(), trainer.runs[0].network.state_dict()
    assert {n for n in before if is_under(n, first)} <= {n for n in before if torch.equal(before[n], after[n])}
    trained = {name for name, _ in whole.named_parameters() if not is_under(name, first)}
    assert trained
    assert not any(torch.equal(before[name], after[name]) for name in trained)


@pytest.mark.parametrize(("model", "parts"), [("mnist_resnet", ("0", "1")), (DROPOUT, ("stem", "blocks.0"))])
def test_frozen_layers_are_in_evaluation_mode_and_the_others_are_not(model, parts, splits):
    """With them batch norm and dropout: a frozen part computes in training what it computes in use."""
    whole, network = (
        initial_network(dataclasses.replace(SMALL, model=model, freeze=freeze), splits, CPU)
        for freeze in (None, ", ".join(parts))
    )
    modes = {name: module.training for name, module in network.named_modules()}
    assert {name for name, training in modes.items() if not training} == {
        name for name, _ in whole.named_modules() if any(is_under(name, part) for part in parts)
    }


def test_a_part_of_a_layer_can_be_frozen(splits):
    """A batch norm of which one vector is frozen goes on with the statistics of its batches."""
    recipe = dataclasses.replace(SMALL, freeze="0.body.0.1.weight")
    before = initial_network(recipe, splits, CPU).state_dict()
    after = fit(recipe, splits, device="cpu").weights
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {"0.body.0.1.weight"}


@pytest.mark.parametrize("frozen", ["1.memory", "1.weight", "1"])
def test_half_of_a_memory_block_can_be_frozen(frozen, splits):
    """The other half then moves as far as its own gradient says: the two are not trained as one matrix."""
    model = "memory_mlp(hidden=8)"
    recipe = dataclasses.replace(SMALL, model=model, freeze=frozen, momentum=0.0, epochs=1, batch_size=18)
    network = initial_network(recipe, splits, CPU)
    before, after = {n: t.clone() for n, t in network.state_dict().items()}, fit(recipe, splits, device="cpu").weights
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if is_under(name, frozen)}
    if frozen == "1.memory":
        both = fit(dataclasses.replace(recipe, freeze=None), splits, device="cpu").weights
        torch.testing.assert_close(after["1.weight"], both["1.weight"])


@pytest.mark.parametrize("method", [fit_side_by_side, fit_stacked_model])
@pytest.mark.parametrize("changes", [{}, ADAMW, {"model": DROPOUT, "freeze": "stem, blocks.0"}])
def test_a_stack_with_frozen_layers_trains_as_its_members_do_alone(method, changes, splits, monkeypatch):
    monkeypatch.setattr(parallel, "_method_for", lambda device: method)
    with in_float64():
        recipes = grid(dataclasses.replace(SMALL, **{"learning_rate": 1e-3, **changes}), seed=[3, 4])
        for outcome, recipe in zip(fit_stack(recipes, splits, device="cpu"), recipes, strict=True):
            alone = fit(recipe, splits, device="cpu")
            np.testing.assert_allclose(outcome.step_loss, alone.step_loss, rtol=1e-6)
            for name, tensor in alone.weights.items():
                torch.testing.assert_close(outcome.weights[name], tensor, rtol=1e-6, atol=1e-9)


RESUMED = {
    "alone": (None, {}),
    "alone in float16": (None, {"precision": "float16"}),
    "side by side": (fit_side_by_side, ADAMW),
    "one model": (fit_stacked_model, ADAMW),
}


@pytest.mark.parametrize(("method", "changes"), RESUMED.values(), ids=RESUMED)
def test_a_run_with_frozen_layers_that_was_stopped_goes_on_with_the_same_bits(
    method, changes, splits, tmp_path, monkeypatch
):
    monkeypatch.setattr(parallel, "_method_for", lambda device: method)
    recipes = grid(dataclasses.replace(SMALL, **changes), seed=[0, 1])
    folders = [tmp_path / "0", tmp_path / "1"]

    def train(count=None, **settings):
        asked = []
        stop = count and (lambda: asked.append(1) or len(asked) >= count)
        if method:
            return fit_stack(recipes, splits, device="cpu", should_stop=stop, **settings)
        return [fit(recipes[0], splits, device="cpu", should_stop=stop, folder=settings.get("folders", [None])[0])]

    for folder in folders:
        folder.mkdir()
    with pytest.raises(TrainingStoppedError):
        train(count=4, folders=folders)
    for resumed, whole in zip(train(folders=folders), train(), strict=True):
        assert all(torch.equal(whole.weights[name], tensor) for name, tensor in resumed.weights.items())
        assert np.array_equal(resumed.step_loss, whole.step_loss)


def test_what_cannot_be_frozen_is_refused_before_training(splits):
    def check(freeze):
        check_recipe(dataclasses.replace(SMALL, freeze=freeze), splits)

    with pytest.raises(
        RecipeError, match=r"freeze='stem' fits no parameter of mnist_resnet: expected 0, 1, .*describe"
    ):
        check("0, stem")
    with pytest.raises(RecipeError, match=r"leaves nothing of mnist_resnet to train; leave a part out of it"):
        check("0, 1, 2, 4")
    with pytest.raises(RecipeError, match=r"freeze is not a list of the beginnings of parameter names: .*stem, blocks"):
        check("0,,1")
    check("0")


def test_the_key_is_that_of_the_set_that_is_frozen():
    assert Recipe(freeze="3.weight ,0,3").freeze == "0, 3"
    assert Recipe(freeze="0,3").key() == Recipe(freeze="3, 0").key() != Recipe(freeze="3").key()
    assert Recipe(freeze="1").freeze == "1" != Recipe(freeze="1, 10").freeze

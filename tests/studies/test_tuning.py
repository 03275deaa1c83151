"""Tuning chooses on validation, with seeds of its own, and goes on while the best rate is at an end of the row."""

import dataclasses
import math

import pytest

import convarium
from convarium.analysis.comparison import compare_runs
from convarium.errors import RecipeError
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store
from convarium.studies import tuning
from convarium.studies.events import TUNING_SEEDS
from convarium.studies.resources import Resources
from convarium.studies.study import Study, grid
from convarium.studies.tuning import _tuning_name, tune
from made_runs import runs

BASE = Recipe(model="lenet", epochs=1, batch_size=256, optimizer="adam", learning_rate=1e-4)


def study(base=BASE, **fields):
    given = {"name": "s", "question": "?", "recipes": grid(base, seed=[0, 1], model=["lenet"]), "command": "c"}
    return Study(**(given | fields))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("tuned"))
    watched = dataclasses.replace(BASE, watch_test=True, select="best_test", validation=0)
    return store, study(watched), *tune(study(watched), Resources(store, device="cpu"), seeds=[7], factors=[1.0, 3.0])


def test_each_network_gets_the_rate_that_was_best_on_validation(done):
    _, before, tuned, (found,) = done
    assert found.value == "lenet"
    assert found.tried[found.learning_rate] == max(found.tried.values())
    assert {recipe.learning_rate for recipe in tuned.recipes} == {found.learning_rate}
    alike = [dataclasses.replace(recipe, learning_rate=BASE.learning_rate) for recipe in tuned.recipes]
    assert tuple(alike) == before.recipes
    assert (tuned.name, tuned.command) == ("s-tuned", "c --tune")


def test_the_search_goes_on_past_an_end_that_is_the_best(done):
    found = done[3][0]
    assert len(found.tried) > 2
    rates = sorted(found.tried)
    # A rate of 0.0001 hardly moves one epoch of digits; what is best lies further up, inside the row or at its limit.
    assert found.learning_rate > 3e-4
    assert found.learning_rate < rates[-1] or rates[-1] == pytest.approx(81e-4)


def test_it_never_looks_at_the_test_split_and_uses_no_seed_of_the_comparison(done):
    store, before, _, (found,) = done
    runs = store.runs()
    assert len(runs) == len(found.tried)
    assert {run.recipe.seed for run in runs} == {7}
    assert not any(run.recipe.watch_test for run in runs)
    assert {run.recipe.select for run in runs} == {"last"}
    assert all(run.outcome.validation.n == 180 for run in runs)  # the digits' own choice, see data/published.py
    assert not set(TUNING_SEEDS) & {recipe.seed for recipe in before.recipes}
    assert store.study("s-tuning-lenet").metric == "validation_accuracy"


def test_what_is_finished_is_not_trained_again(done):
    store, before, tuned, found = done
    trained = []

    def listen(progress):
        trained.extend([progress] if progress.finished and progress.trained_now else [])

    again = tune(before, Resources(store, device="cpu"), seeds=[7], factors=[1.0, 3.0], on_event=listen)
    assert again == (tuned, found)
    assert trained == []


def test_a_rate_that_diverges_is_never_chosen(tmp_path):
    wild = dataclasses.replace(BASE, optimizer="sgd", learning_rate=1e9)
    _, (found,) = tune(study(wild), Resources(Store(tmp_path), device="cpu"), seeds=[7], factors=[1.0])
    assert found.tried == {1e9: 0.0}
    assert math.isfinite(found.learning_rate)


def test_what_cannot_be_tuned(tmp_path):
    rates = study(recipes=grid(BASE, seed=[0], learning_rate=[0.1, 0.2]), compare="learning_rate")
    for wrong, options, message in (
        (rates, {}, "a study of learning rates cannot tune them; leave out --tune"),
        (study(), {"seeds": [1]}, "seed 1 is one of the study's own; tune with other seeds"),
        (study(), {"factors": []}, "at least one factor"),
    ):
        with pytest.raises(RecipeError, match=message):
            tune(wrong, Resources(Store(tmp_path)), **options)
    assert list(tmp_path.iterdir()) == []


def test_rows_whose_readable_names_are_alike_are_tuned_in_studies_of_their_own():
    alike = ["steps(milestones=[2], gamma=0.1)", "steps(milestones=[2],gamma=0.1)"]
    several = study(recipes=grid(BASE, seed=[0], schedule=[*alike, "cosine"]), compare="schedule")
    names = [_tuning_name(several, value) for value in several.values]
    assert len(set(names)) == 3
    assert names[2] == "s-tuning-cosine"


def test_compare_tunes_as_run_does(tmp_path, monkeypatch):
    """The search itself is tested above; here it is cut to one rate."""
    found = []

    def one_rate(study, resources, *, on_event):
        found.append(study)
        return tune(study, resources, seeds=[7], factors=[3.0], on_event=on_event)

    monkeypatch.setattr(tuning, "tune", one_rate)
    messages = []
    result = convarium.compare(
        ["memory_mlp"], seeds=1, epochs=1, learning_rate=0.1, batch_size=256, tune=True, store=tmp_path, device="cpu",
        on_event=lambda event: messages.append(event.message),
    )  # fmt: skip
    assert [choice.learning_rate for choice in result.tuned] == [0.3]
    assert {run.recipe.learning_rate for run in result.runs} == {0.3}
    assert result.study.name == f"{found[0].name}-tuned"
    assert result.study.command.endswith("--tune --epochs 1 --learning-rate 0.1 --batch-size 256")
    assert "memory_mlp: learning rate 0.3, by validation" in messages


def test_rates_that_were_tuned_are_a_note_and_no_warning():
    made = runs("lenet", [0.98, 0.981], learning_rate=0.1) + runs("vgg", [0.97, 0.971], learning_rate=0.3)
    tuned = compare_runs(made, command="convarium compare lenet vgg --tune")
    told = "Learning rates were chosen for each row, by validation with other seeds: 0.1 (lenet), 0.3 (vgg)."
    assert told in tuned.notes
    assert not any("learning_rate" in text for text in tuned.warnings)
    assert "The rows differ in learning_rate too: 0.1 (lenet), 0.3 (vgg)." in compare_runs(made).warnings

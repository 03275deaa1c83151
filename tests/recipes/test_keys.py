"""No stored key ever moves: the key of every record in `results/` is the one that its recipe has today."""

from pathlib import Path

import pytest

from convarium.models.index import ADDED_OPTIONS
from convarium.recipes.recipe import ADDED_FIELDS, VERSION
from convarium.runs.store import Store

RUNS = Store(Path(__file__).parents[2] / "results").runs()


def test_there_are_stored_runs_of_every_published_data_set_that_was_studied():
    assert len(RUNS) >= 85
    assert {run.recipe.dataset for run in RUNS} >= {"mnist", "fashion_mnist"}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.key[:8])
def test_the_key_of_a_stored_run_is_its_recipes_key(run):
    assert run.recipe.key() == run.key


def test_what_decides_keys_is_as_it_was_when_the_records_were_made():
    """A new field or option goes into these lists; the version rises only where every network's numbers change."""
    assert (VERSION, ADDED_FIELDS, ADDED_OPTIONS) == (
        1,
        ("fit", "ground", "groups", "skip_broken", "start_from", "freeze", "class_weights", "test"),
        {
            "residual_cnn": ("blocks",),
            "densenet": ("classifier_bias",),
            "preact_resnet": ("classifier_bias",),
            "residual_variant": ("classifier_bias",),
        },
    )

"""The flags that are generated from the recipe's fields: names, types, help, and which of them were given."""

import dataclasses

import click
import pytest

from convarium.cli import convarium, parameters
from convarium.errors import SpecError
from convarium.recipes.recipe import Recipe

FIELDS = {field.name: field for field in dataclasses.fields(Recipe)}


@pytest.fixture(params=["train", "compare"])
def command(request):
    return convarium.get_command(click.Context(convarium), request.param)


def given(command, *words):
    """The recipe fields that a call gives."""
    parent = convarium.make_context("convarium", [command.name])
    with parent, command.make_context(command.name, ["lenet", *words], parent=parent) as context:
        fields = {name: value for name, value in context.params.items() if name in FIELDS and name != "model"}
        return parameters.given_fields(fields, context)


def test_every_recipe_field_has_a_flag_with_its_default_and_its_sentence(command):
    options = {option.name: option for option in command.params if isinstance(option, click.Option)}
    sentences = parameters.attribute_help(Recipe)
    assert sentences.keys() == FIELDS.keys()
    without_flag = {"model"} if command.name == "train" else {"model", "seed"}
    for name in FIELDS.keys() - without_flag:
        assert f"--{name.replace('_', '-')}" in options[name].opts
        if not options[name].multiple:  # one that may be given several times has no single default, and says so
            assert options[name].default == FIELDS[name].default
            assert options[name].help == sentences[name]
    assert not without_flag & options.keys()


def test_a_flag_counts_as_given_even_where_it_repeats_the_default(command):
    assert given(command) == {}
    assert given(command, "--epochs", "10", "--no-nesterov") == {"epochs": 10, "nesterov": False}


def test_flags_are_read_in_all_their_forms(command):
    assert given(command, "--learning-rate=0.1", "--batch_size", "8") == {"learning_rate": 0.1, "batch_size": 8}
    assert given(command, "--drop-last", "--no-decay-norms-and-biases") == {
        "drop_last": True,
        "decay_norms_and_biases": False,
    }
    assert given(command, "--resize", "none", "--validation", "0") == {"resize": None, "validation": 0}
    assert given(command, "--select", "best_validation") == {"select": "best_validation"}


def test_a_choice_that_does_not_exist_is_refused_with_the_nearest(command):
    with pytest.raises(SpecError, match="unknown select 'best-validation'; did you mean 'best_validation'"):
        given(command, "--select", "best-validation")

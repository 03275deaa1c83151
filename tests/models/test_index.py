"""The index of the zoo says what the code says, for every network, preset and option, and is read without PyTorch."""

import inspect
import json
import typing
from pathlib import Path

import pytest
import torch

from convarium.models.build import load_architecture
from convarium.models.cost import count_parameters
from convarium.models.describe import describe
from convarium.models.index import (
    ACTIVATION_GAINS,
    ADDED_OPTIONS,
    INDEX,
    NETWORKS,
    PARAMETERS,
    PRESETS,
    native_image,
    resolve,
)
from convarium.models.layer_tables import LAYERS, description_from_json, description_to_json, known_description
from convarium.models.options import parse_type, type_text
from convarium.models.write_index import index_text, layers_text
from convarium.models.zoo import MODELS
from convarium.models.zoo import PRESETS as ZOO_PRESETS
from convarium.models.zoo.layers import ACTIVATIONS, Activation
from convarium.runs.store import Store


def test_the_stored_index_is_the_one_that_the_code_makes():
    assert INDEX.read_text("utf-8") == index_text(), "the zoo has changed: run `make index`"


def test_every_network_preset_and_activation_is_in_the_index_and_nothing_else():
    assert list(NETWORKS) == list(MODELS)
    assert PRESETS == ZOO_PRESETS
    assert {name: activation.gain for name, activation in ACTIVATIONS.items()} == ACTIVATION_GAINS
    assert set(PARAMETERS) == {*MODELS, *ZOO_PRESETS}


@pytest.mark.parametrize("name", MODELS)
def test_options_have_the_types_and_defaults_of_the_signature(name):
    factory = MODELS[name]
    hints = typing.get_type_hints(factory)
    parameters = list(inspect.signature(factory).parameters.values())[1:]
    assert list(NETWORKS[name].options) == [p.name for p in parameters]
    for parameter in parameters:
        option = NETWORKS[name].options[parameter.name]
        if parameter.name == "activation":
            assert isinstance(parameter.default, Activation)
            assert (option.type, option.default) == (str, parameter.default.name)
        else:
            assert (option.type, option.default) == (hints[parameter.name], parameter.default)
            assert type(option.default) is type(parameter.default)


@pytest.mark.parametrize("name", MODELS)
def test_the_first_line_and_the_citation_are_those_of_the_file(name):
    assert (inspect.getdoc(MODELS[name]) or "").startswith(NETWORKS[name].summary)
    text = " ".join((inspect.getmodule(MODELS[name]).__doc__ or "").split())
    assert NETWORKS[name].citation
    assert text.startswith(NETWORKS[name].citation)


@pytest.mark.parametrize("model", MODELS)
def test_parameters_are_those_of_the_network_that_is_built(model):
    with torch.device("meta"):
        network = load_architecture(model).build(native_image(model))
    assert count_parameters(network) == PARAMETERS[model]


@pytest.mark.parametrize("name", ADDED_OPTIONS)
def test_added_options_exist_and_are_left_out_of_the_key_at_their_default(name):
    for option in ADDED_OPTIONS[name]:
        assert f"{option}=" in resolve(name).canonical
        assert f"{option}=" not in resolve(name).key_spec


@pytest.mark.parametrize(
    "kind",
    [int, float, bool, str, int | None, tuple[int, ...] | None, typing.Literal["3x3", "7x7"], typing.Literal[1, 2]],
)
def test_a_type_is_read_back_as_it_was_written(kind):
    assert parse_type(type_text(kind)) == kind


def test_a_users_factory_is_not_imported_to_read_its_spec():
    resolved = resolve("no_such_module:net( width=3 )")
    assert (resolved.canonical, resolved.is_custom) == ("no_such_module:net(width=3)", True)


def test_the_stored_layers_are_those_that_the_code_makes():
    assert LAYERS.read_text("utf-8") == layers_text(), "the zoo has changed: run `make index`"


RUNS = Store(Path(__file__).parents[2] / "results").runs()
RECORDED = sorted({(run.recipe.model, run.outcome.image) for run in RUNS}, key=str)


@pytest.mark.parametrize(("model", "image"), RECORDED)
def test_the_network_of_every_stored_run_is_known_layer_by_layer_without_building_it(model, image):
    known = known_description(model, image)
    assert known is not None, f"{model} is not in layer_tables.json: add it to write_index.py and run `make index`"
    assert known == describe(model, image)


@pytest.mark.parametrize("model", ["lenet", "densenet(depth=10)", "residual_cnn(blocks=2)", "memory_mlp"])
def test_a_description_is_read_back_as_it_was_written(model):
    description = describe(model, native_image(model))
    assert description_from_json(json.loads(json.dumps(description_to_json(description)))) == description

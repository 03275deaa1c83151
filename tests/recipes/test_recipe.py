"""A recipe refuses what cannot be trained, and its key is equal exactly where the numbers are."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convarium.errors import ConvariumError, RecipeError, SpecError, quoted
from convarium.recipes.presets import RECIPES, recipe_preset
from convarium.recipes.recipe import ADDED_FIELDS, Recipe, recipe_from_json

WRONG = [
    ({"model": "lenett"}, "did you mean 'lenet'"),
    ({"model": "lenet(pool='min')"}, "'max' or 'avg'"),
    ({"model": "lenet(activation='rellu')"}, "did you mean 'relu'"),
    ({"dataset": "mnst"}, "did you mean 'mnist'"),
    (
        {"ground": "pink", "dataset": "folder:photos"},
        "cannot read ground='pink': expected white, black, gray or a color such as #f0e0d0",
    ),
    ({"groups": "(", "dataset": "folder:photos"}, "groups='(' is no regular expression"),
    ({"fit": "pad"}, "fit is for images of your own, not for digits; leave it out"),
    ({"skip_broken": True}, "skip_broken is for images of your own"),
    ({"fit": "fill", "dataset": "folder:photos"}, "unknown fit 'fill'"),
    ({"start_from": " "}, "start_from names no weights"),
    ({"freeze": "stem."}, "freeze is not a list of the beginnings of parameter names"),
    ({"epochs": 0}, "epochs is out of range: expected at least 1"),
    ({"batch_size": 0}, "batch_size is out of range"),
    ({"learning_rate": 0.0}, "expected above 0"),
    ({"learning_rate": float("inf")}, "learning_rate is out of range"),
    ({"learning_rate": "0.1"}, "learning_rate has the wrong type: expected float"),
    ({"epochs": 1.5}, "epochs has the wrong type: expected int"),
    ({"epochs": True}, "epochs has the wrong type"),
    ({"momentum": 1.0}, "at least 0 and below 1"),
    ({"weight_decay": -1e-4}, "weight_decay is out of range"),
    ({"seed": -1}, "seed is out of range"),
    ({"label_smoothing": 1.0}, "label_smoothing is out of range"),
    ({"warmup": 11}, "at least 0 and at most 10"),
    ({"resize": 0}, "resize is out of range"),
    ({"validation": -1}, "validation is out of range"),
    ({"optimizer": "adamm"}, "did you mean 'adam'"),
    ({"precision": "float64"}, "'float32'"),
    ({"optimizer": "adam", "momentum": 0.9}, "belong to sgd"),
    ({"nesterov": True}, "needs a momentum above 0"),
    ({"select": "best_test"}, "needs watch_test"),
    ({"select": "best_validation", "validation": 0}, "needs validation images; use --validation 180, or --select"),
    ({"select": "best_validation", "validation": 0, "dataset": "mnist"}, "use --validation 5000"),
    ({"select": "best_validation", "validation": 0, "dataset": "folder:x"}, "use --validation N"),
    ({"epochs": 10**400}, "epochs is out of range: expected at least 1 and at most 9.22337e+18, received 1000"),
    ({"epochs": -1}, "epochs is out of range: expected at least 1, received -1; set --epochs"),
    ({"epochs": 10**5000}, "received a number of thousands of digits; set --epochs"),
    ({"seed": 2**63}, "seed is out of range"),
    ({"validation": 10**400}, "validation is out of range"),
    ({"resize": 1025}, "resize is out of range: expected at least 1 and at most 1024"),
    ({"learning_rate": 10**400}, "learning_rate is out of range: expected at most 9.22337e+18"),
    ({"learning_rate": float("nan")}, "learning_rate is out of range: expected a finite number, received nan"),
    ({"momentum": float("nan")}, "momentum is out of range"),
    ({"schedule": f"steps(milestones=[5], gamma={'9' * 400})"}, "is too large"),
    ({"model": f"lenet(x={'-' * 4000}1)"}, "nested too deeply"),
    ({"dataset": "folder:a\0b"}, "dataset has a NUL character: received 'folder:a\\x00b'"),
    ({"dataset": "folder:\udce9t\udce9"}, "dataset is not valid UTF-8: received 'folder:\\udce9t\\udce9'; rename the"),
    ({"dataset": f"folder:{'x' * 5000}"}, "dataset has 5,007 characters: expected 4,096 or fewer"),
    ({"optimizer": "sgd" * 10**5}, "unknown optimizer 'sgdsgd"),
    ({"select": ["last"]}, "unknown select"),
    ({"schedule": "stepps"}, "did you mean 'steps'"),
    ({"schedule": "steps"}, "milestones"),
    ({"schedule": "steps(milestones=[0])"}, "milestones"),
    ({"schedule": "steps(milestones=[5], gamma=2)"}, "gamma"),
    ({"schedule": "steps(milestones=[5], gama=0.5)"}, "did you mean 'gamma'"),
    ({"schedule": "cosine(1)"}, "takes 0 options"),
    ({"schedule": "one_cycle(rise=2.0)"}, "a share between 0 and 1"),
    ({"schedule": "one_cycle", "warmup": 1}, "warm-up of its own"),
    ({"augment": "flop"}, "did you mean 'flip'"),
    ({"normalize": "mean=1"}, "normalize"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG, ids=[quoted(fields) for fields, _ in WRONG])
def test_a_wrong_setting_is_refused_in_one_sentence_with_a_way_out(fields, message):
    with pytest.raises(ConvariumError) as caught:
        Recipe(**fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert caught.value.exit_code == 2


def test_zero_has_one_sign_and_one_key():
    assert Recipe(weight_decay=-0.0).key() == Recipe(weight_decay=0.0).key()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(0, 2**63 - 1),
            "epochs": st.integers(1, 1000),
            "learning_rate": st.floats(1e-9, 1e3),
            "drop_last": st.booleans(),
            "validation": st.none() | st.integers(0, 100),
            "model": st.sampled_from(["lenet", "lenet@d2l", "lenet(pool='avg')"]),
        },
    )
)
def test_json_and_back_is_the_same_recipe_with_the_same_key(fields):
    recipe = Recipe(**fields)
    again = recipe_from_json(json.loads(json.dumps(recipe.to_json())))
    assert again == recipe
    assert again.key() == recipe.key()


OTHER = {
    "model": "lenet(pool='avg')", "dataset": "mnist", "optimizer": "adam", "schedule": "cosine", "augment": "flip",
    "normalize": "none", "select": "best_validation", "precision": "bfloat16", "resize": 32, "validation": 7,
    "fit": "pad", "ground": "black", "groups": "video", "skip_broken": True,
    "start_from": f"lenet.pt sha256:{64 * '0'}", "freeze": "0", "class_weights": "balanced", "test": "none",
}  # fmt: skip


@pytest.mark.parametrize("field", dataclasses.fields(Recipe), ids=lambda f: f.name)
def test_every_field_decides_the_key(field):
    base = Recipe(momentum=0.5, epochs=20, **({"dataset": "folder:photos"} if field.name in ADDED_FIELDS else {}))
    value = OTHER.get(field.name)
    if value is None:
        now = getattr(base, field.name)
        value = not now if isinstance(now, bool) else now + 1 if isinstance(now, int) else now + 0.25
    changed = {"momentum": 0.0} if value == "adam" else {}
    assert dataclasses.replace(base, **{field.name: value}, **changed).key("digest") != base.key("digest")


def test_the_key_is_that_of_the_network_not_of_its_spelling():
    full = "lenet(activation='relu', pool='max', init='kaiming_normal_fan_in')"
    assert Recipe(model="lenet").key() == Recipe(model=full).key()
    assert (
        Recipe(model="lenet@d2l").key()
        == Recipe(model="lenet(pool='avg',init='xavier_uniform',activation='sigmoid')").key()
    )
    assert Recipe(model='lenet( pool="avg" )').model == "lenet(pool='avg')"


def test_the_key_fills_in_the_data_sets_own_validation():
    assert Recipe(dataset="mnist").key() == Recipe(dataset="mnist", validation=5000).key()
    assert Recipe(dataset="mnist").key() != Recipe(dataset="mnist", validation=0).key()


def test_a_folder_needs_its_digest():
    with pytest.raises(RecipeError, match="load the data first"):
        Recipe(dataset="folder:images").key()
    assert Recipe(dataset="folder:images").key("ab") == Recipe(dataset="folder:moved").key("ab")


def test_an_unknown_field_in_a_file_is_named():
    with pytest.raises(RecipeError, match="unknown recipe field 'speed'"):
        recipe_from_json({"speed": 1})


@pytest.mark.parametrize("values", [None, [], [[]], "lenet", 3])
def test_a_recipe_that_is_no_table_of_fields_is_refused(values):
    with pytest.raises(RecipeError, match="a recipe is not a table of fields"):
        recipe_from_json(values)


EVERY_PRESET = [(t, n, v) for t, networks in RECIPES.items() for n, variants in networks.items() for v in variants]


@pytest.mark.parametrize(("tag", "network", "variant"), EVERY_PRESET)
def test_every_preset_is_a_legal_recipe(tag, network, variant):
    from convarium.models.zoo import MODELS, PRESETS

    model = network if network in MODELS else next(name for name in PRESETS if name.partition("@")[0] == network)
    recipe = recipe_preset(f"{tag}/{variant}".rstrip("/"), model)
    assert recipe.model == model


# The table 'Training settings of the sources' of the design's reference: batch, optimizer, rate, epochs, data.
STATED = [
    ("memory-blog", "memory_mlp", {"batch_size": 64, "optimizer": "adam", "learning_rate": 3e-4, "epochs": 10}),
    ("memory-blog", "residual_mlp", {"dataset": "mnist", "normalize": "mean=0.1307, std=0.3081", "watch_test": False}),
    ("residual-blog", "residual_cnn", {"batch_size": 64, "learning_rate": 0.01, "momentum": 0.5, "epochs": 20}),
    ("residual-blog/50-epochs", "residual_cnn", {"epochs": 50}),
    ("d2l", "lenet@d2l", {"batch_size": 256, "learning_rate": 0.9, "normalize": "none", "dataset": "fashion_mnist"}),
    ("d2l", "alexnet@d2l", {"batch_size": 128, "learning_rate": 0.01, "resize": 224}),
    ("d2l", "vgg11@d2l-small", {"batch_size": 128, "learning_rate": 0.05, "resize": 224}),
    ("d2l", "nin@d2l", {"batch_size": 128, "learning_rate": 0.1, "resize": 224}),
    ("mnist-report", "mnist_resnet", {"optimizer": "adam", "learning_rate": 0.001, "epochs": 10}),
    ("mnist-report/sgd", "mnist_resnet", {"optimizer": "sgd", "momentum": 0.9}),
    ("uva", "resnet@uva", {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4}),
    ("uva", "resnet@uva", {"epochs": 180, "dataset": "cifar10"}),
    ("uva", "preact_resnet@uva", {"drop_last": True, "batch_size": 128, "validation": 5000}),
    ("uva", "preact_resnet@uva", {"select": "best_validation"}),
    ("uva", "googlenet@uva", {"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-4}),
    ("uva", "densenet@uva", {"schedule": "steps(milestones=[100, 150], gamma=0.1)", "optimizer": "adamw"}),
    ("huang2017", "densenet_bc100@huang2017", {"batch_size": 64, "epochs": 300, "nesterov": True}),
    ("he2015", "resnet110@he2015", {"warmup": 1, "batch_size": 128, "learning_rate": 0.1}),
    ("he2015", "resnet20@he2015", {"warmup": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("preset", "model", "stated"), STATED, ids=[f"{m} {p}" for p, m, _ in STATED])
def test_presets_have_what_their_sources_state(preset, model, stated):
    recipe = recipe_preset(preset, model)
    assert {name: getattr(recipe, name) for name in stated} == stated


@pytest.mark.parametrize(
    ("preset", "model", "message"),
    [
        ("uvaa", "lenet", "did you mean 'uva'"),
        ("uva", "lenet", "it trains googlenet"),
        ("uva/adam", "resnet", "did you mean 'adamw'"),
    ],
)
def test_a_preset_that_is_not_there_is_named(preset, model, message):
    with pytest.raises(SpecError, match=message):
        recipe_preset(preset, model)


def test_equal_recipes_have_equal_keys():
    whole = Recipe(optimizer="sgd", learning_rate=1, momentum=0, weight_decay=0, label_smoothing=0)
    assert whole == Recipe(learning_rate=1.0)
    assert whole.key() == Recipe(learning_rate=1.0).key()
    assert isinstance(whole.learning_rate, float)

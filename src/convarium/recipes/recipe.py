"""The recipe: everything that decides a run's numbers, and nothing else."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from convarium.data.folder_options import Fit, TestSplit, is_own
from convarium.data.published import DATASETS, lookup
from convarium.errors import RecipeError
from convarium.models.factories import factory_digest, resolve_custom
from convarium.models.index import resolve
from convarium.recipes.field_checks import check_range, check_specs, check_type
from convarium.recipes.schedules import parse_schedule
from convarium.recipes.starting import parse_freeze, start_digest

VERSION = 1
"""Part of every key: rises when the same recipe would give other numbers than before, for every network at once."""

ADDED_FIELDS: tuple[str, ...] = (
    "fit",
    "ground",
    "groups",
    "skip_broken",
    "start_from",
    "freeze",
    "class_weights",
    "test",
)
"""Fields that the recipe has gained since version 0.1.

A key leaves them out at their default, so that the keys of stored runs never change.
"""

_LARGEST_RESIZE = 1024


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run, as scalars: no device, no path, no verbosity.

    Attributes:
        model: Network's spec: lenet, "resnet(depth=56)", resnet@uva, my_package.my_module:factory.
        dataset: Name of `convarium list datasets`, or folder:PATH, csv:FILE or npz:FILE for images of your own.
        seed: Seed of initial weights, shuffling, augmentation and dropout, each of which has a stream of its own.
        epochs: Passes over the training images.
        batch_size: Images in a step.
        drop_last: Leave out an epoch's last batch if it is smaller than the others.
        optimizer: Optimizer from torch.optim.
        learning_rate: Peak learning rate; the schedule multiplies it.
        momentum: Momentum (SGD only).
        nesterov: Use Nesterov momentum (SGD only).
        weight_decay: Weight decay: added to the gradient by SGD and Adam, decoupled from it by AdamW.
        decay_norms_and_biases: Apply weight decay to biases and the parameters of normalization layers, too.
        schedule: Learning rate schedule: constant, "steps(milestones=[100, 150], gamma=0.1)", cosine or one_cycle.
        warmup: Epochs in which the learning rate rises linearly from near 0.
        label_smoothing: Share of the label that is spread evenly over all classes, 0 to 1.
        augment: Augmentation: none, or a list such as "flip, pad_crop(4)" or
            "flip, resized_crop(scale=(0.8, 1.0), ratio=(0.9, 1.1))".
        normalize: Normalization: dataset (mean and deviation of the training split), none (values from 0 to 1), or
            "mean=0.1307, std=0.3081".
        resize: Side in pixels to which the images are enlarged or reduced; by default they keep their size.
        validation: Images held out of the training split for validation, 0 for none; by default the data set's own
            choice.
        watch_test: Score the test split after every epoch, as some sources do; the result is marked "test watched".
        select: Epoch that is scored: the last, or the best by validation or by test accuracy.
        precision: Precision of the network's arithmetic: float32, bfloat16 autocast, or float16 autocast with a scaled
            loss, for GPUs without bfloat16.
        fit: How images of your own come to one size: stretched, padded with the ground, or cropped at their longer
            sides.
        ground: What transparent pixels of your own images lie on: white, black, gray or a color such as #f0e0d0.
        groups: Regular expression; your own images in whose paths it finds the same text stay in one split, such as
            those of one person or video.
        skip_broken: Leave out images of your own that cannot be read.
        test: Whether images of your own are held out for a test, which is read once at the end; with none, all results
            are those of the validation images.
        class_weights: How much the images of each class count in the training loss: all the same, or balanced, so that
            every class counts as much as any other.
        start_from: Run or weights file whose weights the training starts from; the last layer is new where the classes
            differ. By default all weights are random.
        freeze: Parameters that are not trained, as the beginnings of their names: stem or "stem, blocks.0". Layers
            that are frozen whole compute as in evaluation, batch norm with its stored statistics and dropout off.
    """

    model: str = "lenet"
    dataset: str = "digits"
    seed: int = 0
    epochs: int = 10
    batch_size: int = 64
    drop_last: bool = False
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_norms_and_biases: bool = True
    schedule: str = "constant"
    warmup: int = 0
    label_smoothing: float = 0.0
    augment: str = "none"
    normalize: str = "dataset"
    resize: int | None = None
    validation: int | None = None
    watch_test: bool = False
    select: Literal["last", "best_validation", "best_test"] = "last"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    fit: Fit = "stretch"
    ground: str = "white"
    groups: str | None = None
    skip_broken: bool = False
    test: TestSplit = "held_out"
    class_weights: Literal["none", "balanced"] = "none"
    start_from: str | None = None
    freeze: str | None = None

    def __repr__(self) -> str:
        """The call that makes the recipe, without the fields that have their defaults."""
        values = ((field.name, getattr(self, field.name), field.default) for field in dataclasses.fields(self))
        always = ("model", "dataset", "seed")
        return f"Recipe({', '.join(f'{n}={v!r}' for n, v, default in values if n in always or v != default)})"

    def __post_init__(self) -> None:
        """Checks every field before anything is built or read; raises RecipeError or SpecError."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            check_type(field.name, value, field.type)
            if field.type is float:  # 1 and 1.0, and 0.0 and -0.0, are one recipe, and so they need one key
                check_range(field.name, value, -math.inf)
                object.__setattr__(self, field.name, float(value) + 0.0)
        texts = self.model, self.ground, self.groups, self.augment, self.normalize, self.schedule
        object.__setattr__(self, "model", check_specs(*texts))
        if not is_own(self.dataset):
            lookup(self.dataset)
            for name in ("fit", "ground", "groups", "skip_broken", "test"):
                if getattr(self, name) != getattr(Recipe, name):
                    raise RecipeError(f"{name} is for images of your own, not for {self.dataset}", hint="leave it out")
        if self.start_from is not None and not self.start_from.strip():
            hint = "name a run or a file, or leave it out"
            raise RecipeError("start_from names no weights", received=self.start_from, hint=hint)
        if self.freeze is not None:  # one spelling of one set of parameters
            object.__setattr__(self, "freeze", ", ".join(parse_freeze(self.freeze)))
        check_range("seed", self.seed, 0)
        check_range("epochs", self.epochs, 1)
        check_range("batch_size", self.batch_size, 1)
        check_range("learning_rate", self.learning_rate, 0, open_low=True)
        check_range("momentum", self.momentum, 0, 1, open_high=True)
        check_range("weight_decay", self.weight_decay, 0)
        check_range("warmup", self.warmup, 0, self.epochs)
        check_range("label_smoothing", self.label_smoothing, 0, 1, open_high=True)
        if self.resize is not None:
            check_range("resize", self.resize, 1, _LARGEST_RESIZE)
        if self.validation is not None:
            check_range("validation", self.validation, 0)
        if self.optimizer != "sgd" and (self.momentum or self.nesterov):
            raise RecipeError(
                f"momentum and nesterov belong to sgd, not to {self.optimizer}",
                hint="leave them out, or use --optimizer sgd",
            )
        if self.nesterov and not self.momentum:
            raise RecipeError("nesterov needs a momentum above 0", hint="add --momentum 0.9")
        if self.test == "none" and self.validation == 0:
            raise RecipeError("without test images there must be validation images", hint="leave out --validation 0")
        if self.test == "none" and self.watch_test:
            raise RecipeError("watch_test needs test images", hint="leave out --watch-test, or --test none")
        if self.select == "best_validation" and self.validation == 0:
            own = DATASETS[self.dataset].validation if self.dataset in DATASETS else None
            hint = f"use --validation {own or 'N'}, or --select last"
            raise RecipeError("select='best_validation' needs validation images", hint=hint)
        if self.select == "best_test" and not self.watch_test:
            raise RecipeError(
                "select='best_test' needs watch_test", hint="add --watch-test, or use --select best_validation"
            )
        if self.warmup and parse_schedule(self.schedule).name == "one_cycle":
            raise RecipeError("one_cycle has a warm-up of its own", hint="leave warmup at 0")

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values, in order."""
        return dataclasses.asdict(self)

    def key(self, data_digest: str | None = None) -> str:
        """The identity of the run: SHA-256, in hexadecimal, of everything that decides its numbers, defaults included.

        Args:
            data_digest: digest of the data set's content (`Splits.digest`); that of a published data set is known.

        Raises:
            RecipeError: the weights that it starts from, or its images, have not been read, so that their digest is
                not known.
        """
        network = resolve(self.model)
        if network.is_custom:
            network, _ = resolve_custom(self.model)
        facts = self.to_json() | {
            "model": network.key_spec,
            "factory": factory_digest(self.model),
            "data": data_digest or published_digest(self.dataset),
            "version": VERSION,
        }
        del facts["dataset"]
        if self.start_from is not None:
            facts["start_from"] = start_digest(self.start_from)
        for name in ADDED_FIELDS:
            if facts[name] == getattr(Recipe, name):
                del facts[name]
        if self.validation is None and self.dataset in DATASETS:
            facts["validation"] = DATASETS[self.dataset].validation
        return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def recipe_from_json(values: Any) -> Recipe:
    """The recipe that `Recipe.to_json` wrote.

    Raises:
        RecipeError: no table of fields, a field that does not exist, or a value that it cannot have.
        SpecError: a spec that cannot be read.
    """
    if not isinstance(values, dict):
        raise RecipeError("a recipe is not a table of fields", received=type(values).__name__)
    known = {field.name for field in dataclasses.fields(Recipe)}
    for name in values:
        if name not in known:
            raise RecipeError(f"unknown recipe field {name!r}", hint="it may come from a newer Convarium")
    return Recipe(**values)


def published_digest(dataset: str) -> str:
    """The content digest of a published data set.

    Raises:
        RecipeError: the data set is a user's own folder, whose digest is known only once it is read.
    """
    if dataset not in DATASETS:
        raise RecipeError(f"the digest of {dataset!r} is not known", hint="load the data first and pass its digest")
    return DATASETS[dataset].digest

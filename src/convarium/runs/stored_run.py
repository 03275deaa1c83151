"""A run in a store as it is read: each file is compared with its digest in the seal when it is used.

Reading runs no code: the formats are JSON, npz without pickle, and safetensors.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from convarium.characters import one_line
from convarium.disk import parse_json, parse_json_lines
from convarium.errors import DamageError
from convarium.metrics import scores
from convarium.models.layer_tables import description_from_json
from convarium.recipes.recipe import Recipe, recipe_from_json
from convarium.records import Description, Layer, Outcome, Preprocessing, Scores
from convarium.runs.checked_values import UnknownFieldError, is_count, is_text
from convarium.runs.environment import environment_changes
from convarium.runs.json_forms import history_from_json, outcome_from_json, predicted_from_json
from convarium.runs.model_facts import parse_model_facts, preprocessing_from_json
from convarium.runs.npz import read_arrays
from convarium.runs.seal import (
    HISTORY,
    MODEL,
    NETWORK,
    PREDICTED,
    PREDICTIONS,
    RECIPE,
    SEAL,
    STEPS,
    WEIGHTS,
    check_files,
    epoch_file,
    epoch_of,
    read_seal,
)
from convarium.runs.sealed_files import ARRAYS_LIMIT, LIMIT, MEND, compare_with_digest, naming_damage, sealed_content

if TYPE_CHECKING:
    from torch import Tensor

_RECIPE_FIELDS = frozenset(field.name for field in dataclasses.fields(Recipe))


@dataclass(frozen=True, repr=False)
class StoredRun:
    """A finished run in a store.

    Attributes:
        key: its identity, see `Recipe.key`.
        path: its folder; of a run in a records file, the folder in which it would lie.
        recipe: what was trained.
        outcome: how it ended; without arrays, which are read when they are needed.
        recorded_counts: of a run in a records file, what `predicted` returns.
        source: digest of the source of a user's own network that the run was made with, see `source_digest`; None: a
            network of the zoo, or a record older than this.
        files: the digests of its files, by name; a file that is not among them is not believed.
        has_digest: whether its seal has a digest of its own, which runs of Convarium 0.1 have not: a changed digit in
            the seal itself would not be noticed.
    """

    key: str
    path: Path
    recipe: Recipe
    outcome: Outcome
    recorded_counts: tuple[tuple[int, ...], ...] | None = None
    source: str | None = None
    files: Mapping[str, str] = field(default_factory=dict, compare=False)
    has_digest: bool = field(default=True, compare=False)
    _compared: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"StoredRun({self.path.name!r}, {one_line(self.outcome.sentence)})"

    def _repr_html_(self) -> str:
        """A sentence, and accuracy and loss of each split: what a notebook shows."""
        recipe = self.recipe
        return self.outcome.as_html(f"{recipe.model} on {recipe.dataset}, seed {recipe.seed}")

    @property
    def is_mixed(self) -> bool:
        """Whether parts of the run were trained in different environments, so that its last bits belong to none."""
        return bool(self.outcome.earlier)

    @property
    def mixed_reason(self) -> str | None:
        """In what the environments of a mixed run differ: "threads 2, then 1"; None for any other run."""
        if not self.is_mixed:
            return None
        return "; ".join(environment_changes([*self.outcome.earlier, self.outcome.environment]))

    @property
    def result_split(self) -> Literal["test", "validation"]:
        """The split whose scores are the run's result: validation where no images are held out for a test."""
        return "validation" if self.recipe.test == "none" else "test"

    @property
    def result(self) -> Scores | None:
        """The scores of the result split; None where the run has none."""
        return self.outcome.validation if self.result_split == "validation" else self.outcome.test

    def predictions(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Logits (n, classes) float32 and labels (n,) int64 of the result split; None where the run has none.

        Raises:
            DamageError: the file is missing or damaged, or the scores of the run are not those of its predictions.
            StoreError: it may not be read.
        """
        result = self.result
        if PREDICTIONS not in self.files or result is None:
            return None
        is_new = PREDICTIONS not in self._compared
        with naming_damage(self.path, PREDICTIONS):
            shapes = {"logits": (result.n, len(result.per_class)), "labels": (result.n,)}
            logits, labels = read_arrays(self._content(PREDICTIONS, ARRAYS_LIMIT), shapes)
            if is_new and not _are_scores_of(result, logits, labels):
                del self._compared[PREDICTIONS]
                raise DamageError(
                    f"the {self.result_split} scores in {self.path / SEAL} are not those of {PREDICTIONS}", hint=MEND
                )
        return logits, labels

    def steps(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Loss and accuracy of every training step, both (steps,) float32; None where the run has none.

        Raises:
            DamageError: the file is missing or damaged.
            StoreError: it may not be read.
        """
        if STEPS not in self.files:
            return None
        with naming_damage(self.path, STEPS):
            shape = (self.outcome.history[-1].steps if self.outcome.history else 0,)
            loss, accuracy = read_arrays(self._content(STEPS, ARRAYS_LIMIT), {"loss": shape, "accuracy": shape})
        return loss, accuracy

    def predicted(self) -> tuple[tuple[int, ...], ...] | None:
        """The number of test images predicted as each class, epoch by epoch; None if the run did not watch them.

        Raises:
            DamageError: the file is missing or damaged.
            StoreError: it may not be read.
        """
        if PREDICTED not in self.files:
            return self.recorded_counts
        with naming_damage(self.path, PREDICTED):
            counts = predicted_from_json(parse_json_lines(self._content(PREDICTED, LIMIT).decode(), "its text"))
            if self.outcome.status == "finished" and len(counts) != len(self.outcome.history):
                raise ValueError("it has not a row for every epoch")
            return counts

    def network(self) -> Description | None:
        """The network layer by layer; None where the run failed, or is older than this file.

        Raises:
            DamageError: the file is missing or damaged.
            StoreError: it may not be read.
        """
        if NETWORK not in self.files:
            return None
        with naming_damage(self.path, NETWORK):
            description = description_from_json(parse_json(self._content(NETWORK, LIMIT).decode(), "its text"))
            texts = (description.citation, description.summary, description.source or "", description.note or "")
            if not all(map(is_text, (description.model, *texts))) or not _is_layer(description.root):
                raise ValueError("it does not describe a network")
            return description

    def preprocessing(self) -> Preprocessing | None:
        """How images become the network's input; None where the run has no weights, or is older than this file.

        Raises:
            DamageError: the file is missing or damaged.
            StoreError: it may not be read, or comes from a newer Convarium.
        """
        facts = self.model_facts()
        return None if facts is None else preprocessing_from_json(facts["preprocessing"])

    def model_facts(self) -> dict[str, Any] | None:
        """What stands in `model.json`, see `runs.model_facts`; None where the run has none.

        Raises:
            DamageError: the file is missing or damaged.
            StoreError: it may not be read, or comes from a newer Convarium.
        """
        if MODEL not in self.files:
            return None
        with naming_damage(self.path, MODEL):
            return parse_model_facts(self._content(MODEL, LIMIT).decode(), "its text")

    def weights(self) -> "dict[str, Tensor] | None":
        """The selected weights by name; None where the run has none.

        Raises:
            DamageError: the file is missing or damaged.
            StoreError: it may not be read.
        """
        return self._tensors(WEIGHTS)

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """The epochs after which weights were kept, in order; 0 stands for those before the first step."""
        return tuple(sorted(epoch for name in self.files if (epoch := epoch_of(name)) is not None))

    def epoch_weights(self, epoch: int) -> "dict[str, Tensor] | None":
        """The weights after so many epochs, by name; None where they were not kept, see `kept_epochs`.

        Raises:
            DamageError: the file is missing or damaged.
            StoreError: it may not be read.
        """
        return self._tensors(epoch_file(epoch))

    def _tensors(self, name: str) -> "dict[str, Tensor] | None":
        if name not in self.files:
            return None
        from safetensors import SafetensorError  # imports PyTorch, which reading a run's record does not need
        from safetensors.torch import load_file

        with naming_damage(self.path, name):
            compare_with_digest(self.path / name, self.files, self._compared)
            try:
                return load_file(self.path / name)
            except SafetensorError as error:
                raise ValueError(str(error)) from error

    def verify(self, names: Collection[str] | None = None) -> None:
        """Compares files of the run with their digests, and with the predictions also the test scores.

        What was compared is not compared again while its size and its time of change stay the same.

        Args:
            names: of the files; None: all. Those that the run does not have are passed over.

        Raises:
            DamageError: a file is missing or damaged; names it.
            StoreError: a file may not be read.
        """
        for name in self.files:
            if names is not None and name not in names:
                continue
            with naming_damage(self.path, name):
                if name == PREDICTIONS and name not in self._compared:
                    self.predictions()
                compare_with_digest(self.path / name, self.files, self._compared)

    def _content(self, name: str, limit_bytes: int) -> bytes:
        return sealed_content(self.path / name, self.files, self._compared, limit_bytes=limit_bytes)


def read_run(path: Path) -> StoredRun:
    """Reads a sealed run: its seal, recipe and history are compared with their digests, the other files when used.

    Args:
        path: the run's folder.

    Raises:
        DamageError: the seal or one of these files is missing or damaged, or the list of files is not that of a run;
            names the file.
        StoreError: one of them may not be read, or comes from a newer Convarium.
    """
    compared: dict[str, tuple[int, int]] = {}
    with naming_damage(path, SEAL):
        seal = read_seal(path / SEAL, LIMIT)
        if not {RECIPE, HISTORY} <= seal.files.keys():
            raise ValueError(f"it names no {RECIPE} and {HISTORY}")
    with naming_damage(path, RECIPE):
        content = sealed_content(path / RECIPE, seal.files, compared, limit_bytes=LIMIT)
        values = parse_json(content.decode(), "its text")
        if type(values) is not dict or not is_text(values.get("key")):
            raise ValueError("it is not a recipe with a key")
        key, source = values.pop("key"), values.pop("source", None)
        if not (source is None or is_text(source)):
            raise ValueError("its source is not a digest")
        if not values.keys() <= _RECIPE_FIELDS:
            raise UnknownFieldError(f"it has an unknown field {min(values.keys() - _RECIPE_FIELDS)[:40]!r}")
        recipe = recipe_from_json(values)
    with naming_damage(path, HISTORY):
        content = sealed_content(path / HISTORY, seal.files, compared, limit_bytes=LIMIT)
        history = history_from_json(parse_json_lines(content.decode(), "its text"))
    with naming_damage(path, SEAL):
        try:
            outcome = outcome_from_json(seal.values, history)
        except UnknownFieldError as error:
            if seal.has_digest:
                raise
            raise ValueError(str(error)) from error
        if outcome.status == "finished" and len(history) != recipe.epochs:
            raise ValueError(f"it has finished after {len(history)} of {recipe.epochs} epochs")
        wrong = check_files(seal, outcome, path)
        if wrong:
            raise ValueError(wrong)
    return StoredRun(
        key, path, recipe, outcome, source=source, files=seal.files, has_digest=seal.has_digest, _compared=compared
    )


def _are_scores_of(test: Scores, logits: np.ndarray, labels: np.ndarray) -> bool:
    """Whether scores are those of these predictions; the sum of a loss has other last bits on other machines."""
    again = scores(logits, labels, test.per_class)
    sums = dataclasses.replace(again, loss=test.loss, calibration_error=test.calibration_error)
    return (
        sums == test
        and math.isclose(again.loss, test.loss, rel_tol=1e-6, abs_tol=1e-9)
        and abs(again.calibration_error - test.calibration_error) <= 2 / test.n
    )


def _is_layer(layer: Layer) -> bool:
    shape = layer.output_shape
    return (
        all(map(is_text, (layer.name, layer.type, layer.detail)))
        and (shape is None or all(map(is_count, shape)))
        and is_count(layer.parameters)
        and is_count(layer.flops)
        and all(map(_is_layer, layer.children))
    )

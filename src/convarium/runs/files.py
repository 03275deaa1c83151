"""The files of one run: an outcome is written to a folder, each file in one step, and read back from it.

Reading runs no code: the formats are JSON, npz without pickle, and safetensors.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convarium.disk import file_digest, write_file, write_json, write_text
from convarium.errors import ConvariumError, DamageError, StoreError, WeightsError
from convarium.models.layer_tables import description_from_json, description_to_json
from convarium.recipes.recipe import Recipe, recipe_from_json
from convarium.records import Description, Epoch, Outcome
from convarium.runs.environment import environment_changes
from convarium.runs.json_forms import history_from_json, history_to_json, outcome_from_json, outcome_to_json

if TYPE_CHECKING:
    from torch import Tensor, nn

SEAL = "outcome.json"
PREDICTED = "predicted.jsonl"
FileState = tuple[tuple[str, int, int], ...]
NETWORK = "network.json"


@dataclass(frozen=True)
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
    """

    key: str
    path: Path
    recipe: Recipe
    outcome: Outcome
    recorded_counts: tuple[tuple[int, ...], ...] | None = None
    source: str | None = None

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

    def predictions(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Test logits (n, classes) float32 and labels (n,) int64; None where the run has none."""
        return self._pair("predictions.npz", "logits", "labels")

    def steps(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Loss and accuracy of every training step, both (steps,) float32; None where the run has none."""
        return self._pair("steps.npz", "loss", "accuracy")

    def predicted(self) -> tuple[tuple[int, ...], ...] | None:
        """The number of test images predicted as each class, epoch by epoch; None if the run did not watch them."""
        if self.recorded_counts is not None:
            return self.recorded_counts
        path = self.path / PREDICTED
        return read_predicted(self.path) if path.exists() else None

    def network(self) -> Description | None:
        """The network layer by layer; None where the run failed, or is older than this file.

        Raises:
            StoreError: the file is damaged.
        """
        path = self.path / NETWORK
        if not path.exists():
            return None
        try:
            return description_from_json(json.loads(path.read_text("utf-8")))
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{path} is damaged", hint=_MEND) from error

    def weights(self) -> "dict[str, Tensor] | None":
        """The selected weights by name; None where the run has none."""
        path = self.path / "weights.safetensors"
        if not path.exists():
            return None
        from safetensors.torch import load_file  # imports PyTorch, which reading a run's record does not need

        return load_file(path)

    def _pair(self, file: str, first: str, second: str) -> tuple[np.ndarray, np.ndarray] | None:
        path = self.path / file
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[first], arrays[second]


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Writes an outcome's files into a run's folder, the seal last."""
    write_history(path, outcome.history)
    arrays = {
        "steps.npz": {"loss": outcome.step_loss, "accuracy": outcome.step_accuracy},
        "predictions.npz": {"logits": outcome.logits, "labels": outcome.labels},
    }
    files = ["recipe.json", "history.jsonl", *([PREDICTED] if (path / PREDICTED).exists() else [])]
    for name, content in arrays.items():
        present = {k: v for k, v in content.items() if v is not None}
        if present:
            write_file(path / name, lambda file, present=present: np.savez_compressed(file, **present))  # type: ignore[misc]
            files.append(name)
    if outcome.network is not None:
        write_text(path / NETWORK, json.dumps(description_to_json(outcome.network), ensure_ascii=False) + "\n")
        files.append(NETWORK)
    if outcome.weights is not None:
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in outcome.weights.items()}
        write_tensors(path / "weights.safetensors", weights, {})
        files.append("weights.safetensors")
    seal = outcome_to_json(outcome) | {"files": {name: file_digest(path / name) for name in files}}
    write_json(path / SEAL, seal)


def file_state(path: Path) -> FileState:
    """Name, size and time of last change of each file in a run's folder, without those that TensorBoard writes."""
    with os.scandir(path) as entries:
        files = [(entry.name, entry.stat()) for entry in entries if not entry.name.startswith("events.")]
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in files))


def read_run(path: Path, *, verify: bool = True) -> StoredRun:
    """Reads a sealed run and compares its files with the seal.

    Args:
        path: the run's folder.
        verify: whether the files' digests are compared with those in the seal.

    Raises:
        DamageError: a file is missing or damaged; names it.
        StoreError: a file may not be read.
    """
    file = path / SEAL
    try:
        seal = json.loads(file.read_text("utf-8"))
        for name, digest in seal["files"].items():
            file = path / name
            if verify and file_digest(file) != digest:
                raise DamageError(f"{file} is damaged: its digest is not the one in {SEAL}", hint=_MEND)
        file = path / "recipe.json"
        recipe = json.loads(file.read_text("utf-8"))
        key, source = recipe.pop("key"), recipe.pop("source", None)
        file = path / "history.jsonl"
        history = read_history(path)
        file = path / SEAL
        return StoredRun(key, path, recipe_from_json(recipe), outcome_from_json(seal, history), source=source)
    except StoreError:
        raise
    except ConvariumError as error:
        raise DamageError(f"{path} cannot be read: {error}", hint=_MEND) from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, TypeError, KeyError) as error:
        raise DamageError(f"{file} is missing or damaged", hint=_MEND) from error
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}", hint="see who may read it") from error


_MEND = "delete the folder, or run its study again, which sets it aside and trains it anew"


def write_history(path: Path, history: tuple[Epoch, ...]) -> None:
    """Writes `history.jsonl` into a run's folder; a number that JSON has not (a diverged loss) becomes null."""
    rows = [json.dumps(row) for row in history_to_json(history)]
    write_file(path / "history.jsonl", lambda file: file.write("".join(row + "\n" for row in rows).encode()))


def read_history(path: Path) -> tuple[Epoch, ...]:
    """The rows of a run's `history.jsonl`; a training loss of null comes back as NaN."""
    return history_from_json(json.loads(line) for line in (path / "history.jsonl").read_text("utf-8").splitlines())


def write_predicted(path: Path, counts: Sequence[tuple[int, ...]]) -> None:
    """Writes `predicted.jsonl` into a run's folder: how many test images were taken for each class, a row an epoch."""
    rows = [json.dumps({"epoch": i, "images": list(row)}) for i, row in enumerate(counts, start=1)]
    write_file(path / PREDICTED, lambda file: file.write("".join(row + "\n" for row in rows).encode()))


def read_predicted(path: Path) -> tuple[tuple[int, ...], ...]:
    """The rows of a run's `predicted.jsonl`."""
    rows = [json.loads(line) for line in (path / PREDICTED).read_text("utf-8").splitlines()]
    return tuple(tuple(row["images"]) for row in rows)


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str]) -> None:
    """Writes tensors and texts as safetensors, in one step."""
    from safetensors.torch import save

    write_file(path, lambda file: file.write(save(dict(tensors), dict(metadata))))


def save_weights(path: str | os.PathLike[str], network: "nn.Module") -> None:
    """Writes a network's parameters and buffers as safetensors, in one step, and makes the folders of the path.

    Raises:
        WeightsError: the path does not end in .safetensors, or cannot be written.
    """
    import torch

    path = Path(path)
    if path.suffix != ".safetensors":
        raise WeightsError(f"cannot save weights as {path.name!r}", expected="a name ending in .safetensors")
    # safetensors takes neither channels-last nor shared memory
    tensors = {
        k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in network.state_dict().items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors, {})
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}", hint="choose a folder you may write to") from error

"""The networks of a study that play: read as operations, checked, and those that cannot play with the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch.export import ExportedProgram

from convarium.analysis.comparison import Comparison
from convarium.errors import ConvariumError
from convarium.inference.loading import load_trained
from convarium.inference.playground.encoding import rounded
from convarium.inference.playground.program import NotPlayableError, Program, read_program, trace
from convarium.inference.playground.reference import run_logits
from convarium.inference.playground.words import filled, words_of
from convarium.inference.trained import TrainedNetwork
from convarium.models.weights import set_weights
from convarium.records import Preprocessing

if TYPE_CHECKING:
    from convarium.runs.stored_run import StoredRun

MOST_PARAMETERS = 1_500_000
"""Larger networks are left out unless all are asked for: 3 MB in the file for each million of parameters."""
CHECKED_IMAGES = 500
_TOLERANCE = 1e-4
_BATCH = 100


@dataclass(frozen=True)
class Rounding:
    """What rounding the weights to float16 changes, on images that the network was not trained on.

    Attributes:
        images: how many were compared.
        same: for how many the class with the largest logit stays.
        largest_difference: of a logit, as a share of the largest one.
    """

    images: int
    same: int
    largest_difference: float


@dataclass(frozen=True)
class Member:
    """One trained network.

    Attributes:
        name: such as "seed 0".
        program: with its weights as they are written.
        rounding: None where the weights are written as they are.
        epochs: numbers of epochs, in order, with the weights after each; one of them is `program`. Empty unless they
            were asked for and kept.
    """

    name: str
    program: Program
    rounding: Rounding | None
    epochs: tuple[tuple[int, Program], ...] = ()


@dataclass(frozen=True)
class Player:
    """A network of the study with one or several seeds.

    Attributes:
        index: of its row in the comparison, which decides its color.
        preprocessing: of all members.
    """

    label: str
    index: int
    preprocessing: Preprocessing
    members: tuple[Member, ...]


@dataclass(frozen=True)
class LeftOut:
    """A network that does not play.

    Attributes:
        label: its row.
        reason: the name of the text that says why, in the words of the page under "left_out".
        parameters: how many it has.
        error: what was wrong, where the reason is "error".
    """

    label: str
    reason: Literal["no_run", "too_large", "error"]
    parameters: int = 0
    error: str = ""

    def sentence(self, words: Mapping[str, Any]) -> str:
        """What the page says of it in its language; an error is in English."""
        return filled(words["left_out"][self.reason], name=self.label, parameters=self.parameters, error=self.error)


def find_players(
    comparison: Comparison,
    *,
    images: np.ndarray | None,
    seeds: int,
    all_networks: bool,
    float32: bool,
    epochs: bool = False,
) -> tuple[list[Player], list[LeftOut]]:
    """Reads the trained networks of a comparison.

    Args:
        comparison: of runs that have their weights.
        images: (n, c, h, w) uint8 that the programs are checked on; None: on noise.
        seeds: how many runs of each network play, at most.
        all_networks: also those of more than `MOST_PARAMETERS`.
        float32: write the weights as they are.
        epochs: also the weights after other epochs, where the runs kept them.

    Returns:
        The networks, and those that do not play.

    Raises:
        ConvariumError: none can play, or epochs are asked for and no run kept any.
    """
    if epochs and not any(run.kept_epochs for row in comparison.rows for run in row.trained[:seeds]):
        raise ConvariumError(
            "no run of this study kept its weights by epoch",
            hint="train with --keep-weights every=N, after convarium remove where the runs are there already",
        )
    players: list[Player] = []
    left_out: list[LeftOut] = []
    for index, row in enumerate(comparison.rows):
        if not row.trained:
            left_out.append(LeftOut(row.label, "no_run"))
        elif (row.parameters or 0) > MOST_PARAMETERS and not all_networks:
            left_out.append(LeftOut(row.label, "too_large", parameters=row.parameters or 0))
        else:
            try:
                read = [_member(run, images, float32=float32, epochs=epochs) for run in row.trained[:seeds]]
            except ConvariumError as error:
                left_out.append(LeftOut(row.label, "error", error=str(error)))
                continue
            players.append(Player(row.label, index, read[0][1], tuple(member for member, _ in read)))
    if not players:
        hint = " ".join(one.sentence(words_of("en")) for one in left_out)
        raise ConvariumError("no network of this study can play", hint=hint)
    return players, left_out


def _member(
    run: "StoredRun", images: np.ndarray | None, *, float32: bool, epochs: bool
) -> tuple[Member, Preprocessing]:
    trained = load_trained(run)
    if trained.wrong is not None:
        raise ConvariumError(trained.wrong)
    preprocessing = trained.preprocessing
    image = preprocessing.image
    shape = image.channels, image.height, image.width
    traced = trace(trained.network, shape, model=run.recipe.model)
    program = read_program(trained.network, shape, model=run.recipe.model, traced=traced)
    checked = _checked_images(preprocessing) if images is None else images[:: max(1, len(images) // CHECKED_IMAGES)]
    checked = checked[:CHECKED_IMAGES]
    expected = _logits(trained, None, checked)
    _check(expected, _logits(trained, program, checked), model=run.recipe.model)
    rounding = None
    if not float32:
        program = rounded(program)
        rounding = _rounding(expected, _logits(trained, program, checked))
    own = run.outcome.selected_epoch or len(run.outcome.history)
    by_epoch = {own: program}
    for epoch in run.kept_epochs if epochs else ():
        found = None if epoch == own else _program_after(epoch, run, trained, traced, checked)
        if found is not None:
            by_epoch[epoch] = found if float32 else rounded(found)
    in_order = tuple(sorted(by_epoch.items())) if len(by_epoch) > 1 else ()
    return Member(f"seed {run.recipe.seed}", program, rounding, in_order), preprocessing


def _program_after(
    epoch: int, run: "StoredRun", trained: TrainedNetwork, traced: ExportedProgram, images: np.ndarray
) -> Program | None:
    """The network as it was after an epoch, which its run kept; None where its weights were not finite.

    Args:
        epoch: its number.
        run: that of the network.
        trained: the network, which gets the weights of that epoch and is left with them.
        traced: its graph.
        images: that the program is checked on, of which a few suffice here: the same operations were checked before.
    """
    weights = run.epoch_weights(epoch)
    assert weights is not None
    set_weights(trained.network, weights)
    if trained.wrong is not None:
        return None
    image = trained.preprocessing.image
    shape = image.channels, image.height, image.width
    program = read_program(trained.network, shape, model=run.recipe.model, traced=traced)
    few = images[:_BATCH]
    _check(_logits(trained, None, few), _logits(trained, program, few), model=run.recipe.model)
    return program


def _checked_images(preprocessing: Preprocessing) -> np.ndarray:
    shape = 32, preprocessing.channels, preprocessing.height, preprocessing.width
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def _logits(trained: TrainedNetwork, program: Program | None, images: np.ndarray) -> np.ndarray:
    """The logits of the network itself, or of a program."""
    found = []
    with torch.inference_mode():
        for batch in torch.split(torch.from_numpy(np.ascontiguousarray(images)), _BATCH):
            normalized = trained.normalize(batch)
            found.append(trained(normalized) if program is None else run_logits(program, normalized))
    logits: np.ndarray = torch.cat(found).double().numpy()
    return logits


def _check(expected: np.ndarray, received: np.ndarray, *, model: str) -> None:
    """A program that does not answer as its network is not shown.

    Raises:
        NotPlayableError: a logit differs by more than `_TOLERANCE` of the largest one.
    """
    largest, difference = _difference(expected, received)
    if not difference <= _TOLERANCE * largest:
        share = difference / largest if largest else difference
        raise NotPlayableError(f"{model} is not playable: read as operations, a logit differs by {share:.0e}")


def _rounding(expected: np.ndarray, received: np.ndarray) -> Rounding:
    largest, difference = _difference(expected, received)
    same = int((expected.argmax(1) == received.argmax(1)).sum())
    return Rounding(len(expected), same, difference / largest if largest else difference)


def _difference(expected: np.ndarray, received: np.ndarray) -> tuple[float, float]:
    return float(np.abs(expected).max()), float(np.abs(expected - received).max())


def worst_rounding(members: Sequence[Member]) -> Rounding | None:
    """What rounding changes at most in some networks: the fewest answers that stay, and the largest difference."""
    known = [member.rounding for member in members if member.rounding is not None]
    if not known:
        return None
    least = min(known, key=lambda rounding: rounding.same / rounding.images)
    return replace(least, largest_difference=max(rounding.largest_difference for rounding in known))

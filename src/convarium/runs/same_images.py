"""Where a user's own images are, and whether they are still those that a stored run was made with."""

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from convarium.data.folder_options import is_own
from convarium.data.own_images import own_path
from convarium.errors import DataError
from convarium.models.index import resolve
from convarium.recipes.recipe import Recipe
from convarium.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from convarium.data.splits import Splits


def recipe_of_images(run: StoredRun) -> Recipe:
    """A run's recipe, by which its images are read: from another working folder than that of its training, with their
    absolute path.
    """
    dataset, facts = run.recipe.dataset, run.model_facts()
    recorded = facts["data_path"] if facts else None
    if recorded is None or not is_own(dataset) or own_path(dataset).exists() or not Path(recorded).exists():
        return run.recipe
    return dataclasses.replace(run.recipe, dataset=f"{dataset.partition(':')[0]}:{recorded}")


def has_images(run: StoredRun, data_digest: str) -> bool:
    """Whether images of this digest are those that a run was made with, as far as that can be told from its key.

    Where the network is a user's own it cannot, since that would have to be imported; the answer is then yes.
    """
    recipe = run.recipe
    return not is_own(recipe.dataset) or resolve(recipe.model).is_custom or recipe.key(data_digest) == run.key


def check_same_images(run: StoredRun, splits: "Splits") -> None:
    """Refuses a user's own images that are not those that a run was made with: others, renamed or divided otherwise.

    Args:
        run: the run.
        splits: the data set that its recipe names, as it is now.

    Raises:
        DataError: the images have changed.
    """
    scored = run.outcome.train, run.outcome.validation, run.outcome.test
    then = [0 if scores is None else scores.n for scores in scored]
    now = [len(part) for part in (splits.train, splits.validation, splits.test)]
    custom = is_own(run.recipe.dataset) and resolve(run.recipe.model).is_custom
    if has_images(run, splits.digest) and not (custom and then != now):
        return
    parts = "{:,} for training, {:,} for validation and {:,} for the test"
    same = f"as many, {'/'.join(map(str, now))}, with other pixels, names, labels or division"
    raise DataError(
        f"the images of {run.recipe.dataset} are not those that {run.path.name} was made with: "
        f"it had {parts.format(*then)}, now there are {same if then == now else parts.format(*now)}",
        hint=f"restore them, or have them scored as new data: convarium evaluate {run.key[:8]} --dataset "
        f"{shlex.quote(run.recipe.dataset)}",
    )

"""What carrying out a study takes beside the study: the store, the data sets, the device, who trains and until when."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from convarium.data.arrays import load_test_images
from convarium.data.folder_options import FolderOptions, is_own
from convarium.data.image_cache import Progress
from convarium.data.own_images import read_own_images
from convarium.data.readers import Part
from convarium.recipes.recipe import Recipe
from convarium.runs.same_images import has_images, recipe_of_images
from convarium.runs.store import Store, StoredRun

if TYPE_CHECKING:
    import torch

    from convarium.data.splits import Splits, UndividedData
    from convarium.studies.executors.work import Executor
    from convarium.training.engines import LightningEngine
    from convarium.training.starting import StartWeights


@dataclass(frozen=True)
class Resources:
    """The store, the data sets and the device of a study. Each data set is read once, when it is first used.

    Attributes:
        store: where runs and studies lie.
        data_dir: a data folder that is searched before all others.
        device: on which networks train; None: CUDA if there is a device, else the CPU.
        exact: refuse to go on with a run that was begun in another environment, which would be recorded as mixed.
        keep_weights: as in `Work`.
        executor: who trains; None: this process, one run after another.
        may_begin: asked with the recipes of a unit before it begins; after False, nothing begins any more. None:
            everything may.
        engine: what carries the steps of a run out, in this process; None: the native loop.
        deadline: the reading of `time.monotonic` at which training ends, with checkpoints; None: when all is trained.
    """

    store: Store
    data_dir: Path | None = None
    device: str | None = None
    exact: bool = False
    keep_weights: int | None = None
    executor: "Executor | None" = None
    engine: "LightningEngine | None" = None
    may_begin: Callable[[Sequence[Recipe]], bool] | None = None
    deadline: float | None = None
    _read: dict[tuple[str, FolderOptions], "UndividedData"] = field(default_factory=dict, repr=False, compare=False)
    _starts: dict[tuple[str, str, str, int | None], "StartWeights"] = field(
        default_factory=dict, repr=False, compare=False
    )
    _divided: dict[tuple[str, FolderOptions], "Splits"] = field(default_factory=dict, repr=False, compare=False)

    def is_time_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def training_device(self) -> "torch.device":
        """On which networks train: that of the executor, which may be another machine's.

        Raises:
            RecipeError: there is no such device.
        """
        from convarium.training.scoring import pick_device

        return pick_device(self.device) if self.executor is None else self.executor.device

    @property
    def workers(self) -> int:
        """How many runs may train at the same time."""
        return self.executor.workers if self.executor else 1

    @contextmanager
    def threads_of_a_run(self) -> Iterator[None]:
        """Inside, this process has as many threads as the executor gives a run, so that runs can be timed."""
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(self.executor.threads if self.executor else threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def splits(self, recipe: Recipe, *, download: bool = True, on_event: Progress | None = None) -> "Splits":
        """The data set of a recipe, divided as the recipe says.

        Args:
            recipe: names the data set, the number of validation images and the size of the images.
            download: whether missing files may be downloaded.
            on_event: called while files are downloaded or images are decoded, see `load_data`.

        Raises:
            DataError: the data are missing or damaged, or the division is impossible.
        """
        from convarium.data.loading import read_data
        from convarium.data.splits import divide

        wanted, validation, resize = _wanted(recipe), recipe.validation, recipe.resize
        dataset, options = wanted
        if wanted not in self._divided:
            # Published images are read once; they are divided in memory, and resized batch by batch.
            reading = wanted if is_own(dataset) else (dataset, FolderOptions())
            if reading not in self._read:
                self._read[reading] = read_data(
                    dataset, data_dir=self.data_dir, options=options, download=download, on_event=on_event
                )
            self._divided[wanted] = divide(self._read[reading], validation=validation, resize=resize)
        return self._divided[wanted]

    def start(self, recipe: Recipe) -> "StartWeights":
        """The weights that a recipe starts from, see `read_start`; read once for each network and its images."""
        from convarium.training.starting import read_start

        assert recipe.start_from is not None
        wanted = recipe.start_from, recipe.model, recipe.dataset, recipe.resize
        if wanted not in self._starts:
            self._starts[wanted] = read_start(recipe, self.splits(recipe), self.store)
        return self._starts[wanted]

    def test_images(self, run: StoredRun) -> Part | None:
        """The images and labels of a run's `result_split`, as arrays; published ones are read without PyTorch.

        Args:
            run: its recipe names the data set, and the form in which a user's own images are read.

        Returns:
            Images (n, c, h, w) uint8 and labels (n,) int64; None if the data set is not on this machine, or if a user's
            own images have changed since.

        Raises:
            DataError: the data are damaged.
        """
        dataset, options = _wanted(recipe_of_images(run))
        divided = self._divided.get((dataset, options))
        if divided is not None:
            same = has_images(run, divided.digest)
            scored = divided.test if len(divided.test) else divided.validation
            return (scored.images.numpy(), scored.labels.numpy()) if same else None
        if is_own(dataset):
            own = read_own_images(dataset, options)
            scored_files = own.test if len(own.test[1]) else own.validation
            return scored_files if has_images(run, own.digest) else None
        return load_test_images(dataset, data_dir=self.data_dir)


def _wanted(recipe: Recipe) -> tuple[str, FolderOptions]:
    """The data set of a recipe, and how its images are divided and read."""
    names = ("validation", "fit", "ground", "groups", "skip_broken", "test")
    return recipe.dataset, FolderOptions(side=recipe.resize, **{name: getattr(recipe, name) for name in names})

"""What carrying out a study takes beside the study: the store, the data sets and the device."""

from dataclasses import dataclass, field
from pathlib import Path

from convarium.data.splits import Splits, UndividedData, divide, read_data
from convarium.recipes.recipe import Recipe
from convarium.runs.store import Store


@dataclass(frozen=True)
class Resources:
    """The store, the data sets and the device of a study. Each data set is read once, when it is first used.

    Attributes:
        store: where runs and studies lie.
        data_dir: a data folder that is searched before all others.
        device: on which networks train; None: CUDA if there is a device, else the CPU.
    """

    store: Store
    data_dir: Path | None = None
    device: str | None = None
    _read: dict[tuple[str, int | None], UndividedData] = field(default_factory=dict, repr=False, compare=False)
    _divided: dict[tuple[str, int | None, int | None], Splits] = field(default_factory=dict, repr=False, compare=False)

    def splits(self, recipe: Recipe, *, download: bool = True) -> Splits:
        """The data set of a recipe, divided as the recipe says.

        Args:
            recipe: names the data set, the number of validation images and the size of the images.
            download: whether missing files may be downloaded.

        Raises:
            DataError: the data are missing or damaged, or the division is impossible.
        """
        dataset, validation, resize = wanted = recipe.dataset, recipe.validation, recipe.resize
        if wanted not in self._divided:
            size = resize if dataset.startswith("folder:") else None  # other images are resized batch by batch
            if (dataset, size) not in self._read:
                self._read[dataset, size] = read_data(dataset, data_dir=self.data_dir, resize=resize, download=download)
            self._divided[wanted] = divide(self._read[dataset, size], validation=validation, resize=resize)
        return self._divided[wanted]

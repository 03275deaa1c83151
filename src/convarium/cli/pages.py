"""The page of a study, with the test images where they are at hand."""

from pathlib import Path

from convarium.comparison import Comparison
from convarium.data import load_data
from convarium.data.images import ImageData
from convarium.errors import ConvariumError
from convarium.report import write_report


def write_page(comparison: Comparison, path: Path, data_dir: Path | None = None) -> Path:
    """Writes the report; the images on which networks differ are shown where the data set lies on this machine."""
    return write_report(comparison, path, images=_test_images(comparison, data_dir))


def _test_images(comparison: Comparison, data_dir: Path | None) -> ImageData | None:
    recipes = [run.recipe for row in comparison.rows for run in row.runs]
    if len({(recipe.dataset, recipe.resize) for recipe in recipes}) != 1:
        return None
    first = recipes[0]
    try:
        return load_data(
            first.dataset, data_dir=data_dir, validation=first.validation, resize=first.resize, download=False
        ).test
    except ConvariumError:  # a report is drawn from records alone; images are a courtesy
        return None

"""The code of docs/add-a-dataset.md is run as it stands there."""

import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

from convarium.data import DATASETS, load_data
from convarium.errors import DataError
from convarium.recipes.recipe import Recipe

GUIDE = Path(__file__).parents[2] / "docs" / "add-a-dataset.md"


def test_the_guides_data_set_is_read_verified_and_known_everywhere(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    packed = io.BytesIO()
    np.savez(
        packed,
        x_train=rng.integers(0, 256, (200, 1, 16, 16), dtype=np.uint8),
        y_train=rng.integers(0, 2, 200),
        x_test=rng.integers(0, 256, (50, 1, 16, 16), dtype=np.uint8),
        y_test=rng.integers(0, 2, 50),
    )
    file = tmp_path / "shapes" / "shapes.npz"
    file.parent.mkdir()
    file.write_bytes(packed.getvalue())
    monkeypatch.setenv("CONVARIUM_DATA", str(tmp_path))
    monkeypatch.setitem(DATASETS, "shapes", None)  # so that the entry is taken out again afterwards

    [code] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    names = {"SIZE": file.stat().st_size, "MD5": hashlib.md5(file.read_bytes()).hexdigest()}
    exec(code, names)

    splits = names["splits"]
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (180, 20, 50)
    assert splits.train.spec == names["SHAPES"].spec
    assert splits.mean == pytest.approx(names["SHAPES"].mean, abs=0.01)
    assert splits.std == pytest.approx(names["SHAPES"].std, abs=0.01)
    assert Recipe(dataset="shapes").key() != Recipe(dataset="digits").key()

    file.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"shapes.npz is not the published file"):
        load_data("shapes")

"""A page of 30 networks × 10 seeds × 200 epochs stays small and quick; no page ever needs what trains."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convarium.analysis.comparison import compare_runs
from convarium.pages import write_report
from convarium.pages.packing import pack, unpack
from convarium.pages.page import render
from html_page import data_of
from made_studies import made_study

NETWORKS = [f"resnet(depth={6 * n + 2})" for n in range(1, 16)] + [f"plain(depth={6 * n + 2})" for n in range(1, 16)]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    levels = {model: 0.85 + 0.004 * n for n, model in enumerate(NETWORKS)}
    folder = tmp_path_factory.mktemp("large")
    return made_study(
        folder, levels, seeds=10, epochs=200, images=10_000, dataset="cifar10", steps_an_epoch=100
    ), folder


def test_thirty_networks_ten_seeds_and_two_hundred_epochs_make_a_page_in_seconds(large):
    comparison, folder = large
    began = time.process_time()
    page = write_report(comparison, folder / "report.html")
    assert time.process_time() - began < 40  # 20 on a core that another process shares
    assert 1e6 < page.stat().st_size < 15e6


def test_a_page_of_twelve_networks_and_five_seeds_is_below_3_mb(large):
    """With the curves of 200 epochs of 100 steps; what is packed is the same when it is unpacked."""
    comparison, _ = large
    runs = [run for row in comparison.rows[:12] for run in row.runs[:5]]
    text = render(compare_runs(runs))
    assert len(text.encode()) < 3e6
    names = data_of(text)["tables"]["epoch"]["label"]
    assert list(dict.fromkeys(names)) == NETWORKS[:12]
    assert len(names) == 12 * 4 * 200


@pytest.mark.parametrize("column", [[], [1.5], ["a"] * 9 + ["b", None, None], [None] * 5, list(range(50))], ids=str)
def test_packed_columns_are_unpacked_as_they_were(column):
    packed = pack(column)
    assert list(unpack(packed)) == column
    assert len(json.dumps(packed)) <= max(len(json.dumps(column)), 20)


WITHOUT_TRAINING = """
import sys
from pathlib import Path

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in ("convarium.training", "convarium.studies.run"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
from convarium.pages import write_report
from made_studies import made_study
folder = Path(sys.argv[1])
write_report(made_study(folder, {"lenet": 0.9, "residual_cnn": 0.95}), folder / "report.html")
for name in ("convarium.training", "convarium.studies.run"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} could be imported, so nothing is shown")
"""


def test_a_page_is_made_where_training_is_impossible(tmp_path):
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    call = [sys.executable, "-c", WITHOUT_TRAINING, str(tmp_path)]
    done = subprocess.run(call, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "residual_cnn" in (tmp_path / "report.html").read_text("utf-8")

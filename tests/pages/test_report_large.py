"""A page of 30 networks × 10 seeds × 200 epochs stays small and quick; no page ever needs what trains."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convarium.pages import write_report
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

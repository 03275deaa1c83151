"""A page of 30 networks × 10 seeds × 200 epochs stays small and quick."""

import json
import time

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

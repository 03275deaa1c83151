"""Memory: a study of many runs needs what one run needs, and a run of many epochs what one of few needs.

Each is measured in a process of its own, whose memory nothing else touches.
"""

import gc
import multiprocessing
import os
import platform
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch

from convarium.recipes.recipe import Recipe
from convarium.runs.environment import peak_memory_bytes
from convarium.runs.store import Store
from convarium.studies.resources import Resources
from convarium.studies.run import run_study
from convarium.studies.study import Study, grid
from convarium.training import fit, tune_memory
from convarium.training import loop as training_loop
from small_networks import few

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def in_a_process(measure, *arguments):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def alive():
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def resident():
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def study_of(runs, stack, folder):
    """After the 32nd run, the last and the study: the highest memory so far in bytes, and how many tensors live."""
    torch.set_num_threads(1)
    splits, seen = few(64, resize=16), []
    Resources.splits = lambda *_, **options: splits
    recipe = Recipe(
        model="memory_mlp(hidden=1024)",
        epochs=1,
        batch_size=32,
        momentum=0.9,
        validation=20,
        resize=16,
        normalize="none",
    )

    def tell(progress):
        if progress.finished and progress.number in (32, runs):
            seen.append((peak_memory_bytes("cpu"), alive()))

    study = Study(name="many", question="How much?", recipes=grid(recipe, seed=range(runs)))
    run_study(study, Resources(Store(folder), device="cpu"), stack=stack, on_event=tell)
    return [*seen, (peak_memory_bytes("cpu"), alive())]


@pytest.mark.parametrize("stack", [False, True], ids=["one by one", "stacked"])
def test_a_study_of_many_runs_needs_the_memory_of_one_or_of_one_stack(stack, tmp_path):
    """Within the first four stacks of eight the C library's heap settles, and grows by up to 13 MB; then by 0.2 MB."""
    first, _, last = in_a_process(study_of, 72, stack, tmp_path)
    # Forty runs' first layers, 256×1,024 weights of 4 bytes each, would be 42 MB.
    assert last[0] - first[0] < 15e6
    assert last[1] <= first[1]


def epochs_of(epochs, folder):
    """After the 100th, 400th, 700th and 1,000th epoch: the memory in bytes, and the tensors that are alive."""
    torch.set_num_threads(1)
    training_loop.CHECKPOINT_SECONDS = 0.02
    recipe = Recipe(
        model="memory_mlp(hidden=8)",
        epochs=epochs,
        batch_size=10,
        learning_rate=1e-3,
        momentum=0.9,
        validation=20,
        resize=16,
        augment="pad_crop(2)",
        select="best_validation",
    )
    seen = []

    def tell(progress):
        if progress.history and len(progress.history) % 300 == 100:
            seen.append((resident(), alive()))

    fit(recipe, few(20, resize=16), device="cpu", folder=folder, on_event=tell)
    return seen


def test_memory_does_not_grow_over_a_thousand_epochs(tmp_path):
    """What may grow is the record: a row an epoch and eight bytes a step, and their text in the checkpoint, all in all
    below 5 kB an epoch (2 kB measured), once the allocator has settled.
    """
    seen = in_a_process(epochs_of, 1000, tmp_path)
    assert len(seen) == 4
    assert {tensors for _, tensors in seen} == {seen[0][1]}
    assert seen[-1][0] - seen[1][0] < 600 * 5e3


def faults_of(tuned):
    """Page faults of thirty large tensors that come and go, after training, with and without `tune_memory`."""
    torch.set_num_threads(1)
    if tuned:
        tune_memory()
    fit(Recipe(model="memory_mlp(hidden=8)", epochs=1, batch_size=10), few(20), device="cpu")
    for _ in range(3):
        torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        torch.ones(2**24)  # 64 MB, twice what the C library keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.skipif(HUGE_PAGES.exists() and "[always]" in HUGE_PAGES.read_text("utf-8"), reason="pages are huge")
def test_tuned_memory_stays_with_the_process(monkeypatch):
    pages = 2**26 // os.sysconf("SC_PAGE_SIZE")
    assert in_a_process(faults_of, False) > 10 * pages
    assert in_a_process(faults_of, True) < pages
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")  # set by the user
    assert in_a_process(faults_of, True) > 10 * pages

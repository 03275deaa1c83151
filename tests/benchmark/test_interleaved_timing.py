import contextlib
import copy
import dataclasses
import json
import multiprocessing
import os
import re

import pytest
import torch

import convarium.data
from convarium import benchmark
from convarium.benchmark import (
    JOBS,
    Accuracies,
    ColdStart,
    as_json,
    as_markdown,
    bench,
    contestants,
    equal_accuracy,
    lightning_reference,
    machine,
    speed,
)
from convarium.benchmark.cold_start import train_cold
from convarium.benchmark.machine import Ceiling, ceiling, fastest
from convarium.benchmark.speed_page import MARKER
from convarium.cli import main
from convarium.errors import ConvariumError, SpecError
from convarium.recipes.presets import recipe_preset
from convarium.recipes.recipe import Recipe
from convarium.runs.environment import environment
from convarium.runs.timings import TimedTurn
from convarium.training import fit, timed_training
from convarium.training.interleaved_timing import WARM_UP_SECONDS, interleaved, measure_pairs, stopwatch
from convarium.training.timed_training import training_contestant
from made_images import CPU, drawn, splits_of


class EnoughError(Exception):
    pass


def steps(contestant, n):
    """The images of a contestant's first n steps."""
    seen = []

    def on_step(images):
        seen.append(images)
        if len(seen) == n:
            raise EnoughError

    with pytest.raises(EnoughError):
        contestant(on_step)
    return seen


def test_every_contestant_reports_the_images_of_every_step(monkeypatch):
    job = dataclasses.replace(JOBS["memory_mlp"], batch_size=8)
    splits = splits_of(drawn(20))  # batches of 8, 8 and 4: seven steps cross two ends of an epoch
    recipe = dataclasses.replace(contestants.recipe_of(job, "float32"), batch_size=8)
    expected = [8, 8, 4, 8, 8, 4, 8]
    assert steps(contestants.reference_contestant(job, splits.train, CPU), 7) == expected
    assert steps(training_contestant(recipe, splits, CPU), 7) == expected
    dropping = dataclasses.replace(recipe, drop_last=True)
    assert steps(training_contestant(dropping, splits, CPU), 5) == [8] * 5
    stacked = training_contestant(recipe, splits, CPU, members=3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # two members take turns in any order
    assert set(steps(stacked, 12)) == set(expected)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert steps(stacked, 7) == expected


@pytest.mark.filterwarnings("ignore")  # Lightning's advice
def test_lightning_takes_the_steps_of_the_reference():
    train = drawn(20)  # one batch, so that no shuffling matters
    torch.manual_seed(0)
    in_lightning = JOBS["lenet@d2l"].network()
    alone = copy.deepcopy(in_lightning)
    before = copy.deepcopy(in_lightning).state_dict()
    for network, make in ((in_lightning, contestants.lightning_contestant), (alone, contestants.reference_contestant)):
        job = dataclasses.replace(JOBS["lenet@d2l"], network=lambda network=network: network, workers=0)
        assert steps(make(job, train, CPU), 3) == [20, 20, 20]
    for name, tensor in in_lightning.state_dict().items():
        torch.testing.assert_close(tensor, alone.state_dict()[name], rtol=1e-4, atol=1e-6)
        assert not torch.equal(tensor, before[name])


def test_without_lightning_its_part_is_refused(monkeypatch):
    monkeypatch.setattr(lightning_reference, "find_spec", lambda name: None)
    with pytest.raises(ConvariumError, match=r"Lightning is not installed; pip install 'convarium\[lightning\]'"):
        bench(["lenet@d2l"], lightning=True, device="cpu")


def test_lightning_is_a_second_reference(timed):
    (row,) = bench(["lenet@d2l"], pairs=1, precision="float32", lightning=True, device="cpu")
    assert row.lightning == (400,)
    assert row.lightning_ratios == (1,)
    assert "| Lightning, img/s | ratio to Lightning |" in as_markdown([row])
    assert "| 4.0 (4.0 to 4.0, 1 pair) | 400 | 1.0 (1.0 to 1.0, 1 pair) |" in as_markdown([row])


def test_a_stack_is_of_seeds(monkeypatch):
    trained = []
    monkeypatch.setattr(timed_training, "fit_stack", lambda recipes, *_, **__: trained.extend(recipes))
    recipe = contestants.recipe_of(JOBS["memory_mlp"], "float32")
    with pytest.raises(ConvariumError):
        training_contestant(recipe, splits_of(drawn(20)), CPU, members=8)(lambda images: None)
    assert trained == [dataclasses.replace(recipe, seed=seed) for seed in range(8)]


def diverging(members=1):
    recipe = recipe_preset("residual-blog", "residual_cnn")
    recipe = dataclasses.replace(recipe, learning_rate=1e30, momentum=0.0, batch_size=10, watch_test=False, epochs=100)
    return training_contestant(recipe, splits_of(drawn(20)), CPU, members=members)


@pytest.mark.parametrize("members", [1, 2])
def test_a_diverged_training_is_no_measure_of_speed(members):
    with pytest.raises(ConvariumError, match="residual_cnn diverged before its timing ended; time it for fewer second"):
        diverging(members)(lambda images: None)


def test_a_turn_is_timed_after_its_warm_up_and_continues_where_the_last_one_paused():
    waits, reports, now = iter([3.0, 0.0]), [], 0.0

    def wait():
        nonlocal now
        now += 100.0  # a pause is not timed
        return next(waits)

    watch = stopwatch(wait, reports.append, clock=lambda: now)
    next(watch)
    steps = 0
    with contextlib.suppress(RuntimeError):  # the third wait finds no more turns
        while True:
            now += 0.5
            steps += 1
            watch.send(10)
    # Ten images every half second. The first step is made before the first turn.
    warm_up = WARM_UP_SECONDS / 0.5
    assert steps == 1 + (warm_up + 3.0 / 0.5) + (warm_up + 1)
    assert [turn.images_per_second for turn in reports] == [20.0, 20.0]
    assert [(turn.images, turn.seconds) for turn in reports] == [(60, 3.0), (10, 0.5)]
    assert all(0 <= turn.processor_seconds < 3 for turn in reports)


def test_steps_that_are_longer_than_a_warm_up_need_none():
    waits, reports, now = iter([0.0, 0.0, 0.0]), [], 0.0
    watch = stopwatch(lambda: next(waits), reports.append, clock=lambda: now, processor_clock=lambda: now / 2)
    next(watch)
    steps = 0
    with contextlib.suppress(RuntimeError):
        while True:
            now += 7.0
            steps += 1
            watch.send(10)
    assert steps == 1 + (1 + 1) + 1 + 1
    assert [(turn.images, turn.seconds, turn.processor_seconds) for turn in reports] == [(10, 7.0, 3.5)] * 3


def test_every_pair_begins_with_another_contestant():
    calls = []

    def turn(name, rate):
        return lambda seconds: calls.append((name, seconds)) or rate

    turns = {name: turn(name, rate) for rate, name in enumerate("rfb")}
    assert measure_pairs(turns, pairs=4, seconds=2.0) == {"r": (0,) * 4, "f": (1,) * 4, "b": (2,) * 4}
    assert "".join(name for name, _ in calls) == "rfbfbrbrfrfb"
    assert {seconds for _, seconds in calls} == {2.0}


def refusing(on_step):
    spins = os.environ["GOMP_SPINCOUNT"]
    raise ConvariumError(f"{torch.get_num_threads()} threads, {multiprocessing.get_start_method()}, spin {spins}")


def test_a_contestant_that_ends_by_itself_ends_the_timing(monkeypatch):
    # A contestant's process has the threads of this one, and starts a DataLoader's workers as this one would.
    here = f"{torch.get_num_threads()} threads, {multiprocessing.get_start_method()}, spin "
    monkeypatch.setenv("GOMP_SPINCOUNT", "1234")
    with pytest.raises(ConvariumError, match=here + "1234"), interleaved({"ours": refusing}, CPU):
        pass
    # The reference's threads wait as OpenMP's default has it.
    with (
        pytest.raises(ConvariumError, match=here + "300000"),
        interleaved({"theirs": refusing}, CPU, default_openmp=["theirs"]),
    ):
        pass
    assert os.environ["GOMP_SPINCOUNT"] == "1234"
    with pytest.raises(ConvariumError, match="ended by itself; see its own message"), interleaved({"ours": print}, CPU):
        pass


@pytest.fixture
def timed(monkeypatch):
    """`bench` over contestants with known rates: the reference 100, Convarium from 400 images a second upwards."""
    monkeypatch.setattr(speed, "ceiling", lambda device: Ceiling(1e12, 2e12, 1e10))
    images = {"cifar10": (3, 32)}
    monkeypatch.setattr(speed, "splits_of", lambda job, *_: splits_of(drawn(20, *images.get(job.dataset, (1, 28)))))

    @contextlib.contextmanager
    def timed(contestants, device, *, default_openmp):
        assert set(default_openmp) >= {name for name in contestants if isinstance(name, str)}
        grown = {name: iter(range(400, 1000, 100)) for name in contestants}

        def turn(name):
            return TimedTurn(100 if name == "reference" else next(grown[name]), 1.0, 1.0)

        yield {name: lambda _, name=name: turn(name) for name in contestants}

    monkeypatch.setattr(speed, "interleaved", timed)
    monkeypatch.setattr(speed, "emulates_bfloat16", lambda device: False)


def test_a_row_holds_what_was_measured(timed):
    seen = []
    rows = bench(["lenet@d2l"], pairs=3, seconds=5, device="cpu", on_event=seen.append)
    row, half = rows
    assert seen == rows
    assert (row.job, row.batch_size, row.seconds, row.members) == ("lenet@d2l", 256, 5, 1)
    assert (row.precision, half.precision) == ("float32", "bfloat16")
    assert row.reference == half.reference == (100, 100, 100)
    assert row.convarium == (400, 500, 600)
    assert row.ratios == (4, 5, 6)
    # 2 · 416,520 multiply-adds forward (d2l's LeNet, by hand), three times that a step, 500 images/s, of 10¹² FLOP/s.
    multiply_adds = 25 * 784 * 6 + 25 * 6 * 16 * 100 + 400 * 120 + 120 * 84 + 84 * 10
    assert row.share == pytest.approx(500 * 3 * 2 * multiply_adds / 1e12)
    assert half.share == pytest.approx(row.share / 2)
    form, _ = json.loads(json.dumps(as_json(rows)))
    assert form["ratios"] == [4, 5, 6]
    assert form["environment"]["torch"] == torch.__version__
    assert form["environment"]["threads"] == torch.get_num_threads()
    assert form["ceiling"]["bandwidth"] == 1e10


def test_emulated_bfloat16_is_timed_only_where_it_is_asked_for(timed, monkeypatch, capsys):
    monkeypatch.setattr(speed, "emulates_bfloat16", lambda device: True)
    assert [row.precision for row in bench(["lenet@d2l"], device="cpu")] == ["float32"]
    assert [row.precision for row in bench(["lenet@d2l"], precision="bfloat16", device="cpu")] == ["bfloat16"]
    assert main(["bench", "lenet@d2l", "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert "no bfloat16 rows" in shown.err
    assert "| bfloat16 |" not in shown.out


def test_rows_become_a_table_under_their_machine(timed):
    text = as_markdown(bench(["lenet@d2l"], pairs=3, seconds=5, device="cpu"))
    machine_line, _, head, rule, row, half = text.splitlines()
    assert re.search(r"\d+ threads?, torch", machine_line)
    assert head.count("|") == rule.count("|") == row.count("|") == half.count("|")
    assert "| lenet@d2l | float32 | 256 | 100 | 500 | 5.0 (4.0 to 6.0, 3 pairs) |" in row
    assert "| lenet@d2l | bfloat16 | 256 | 100 | 500 | 5.0 (4.0 to 6.0, 3 pairs) |" in half
    assert as_markdown([]) == ""


def test_stacks_have_rows_of_their_own(timed):
    rows = bench(["lenet@d2l", "residual_mlp"], pairs=1, precision="float32", stack=True, device="cpu")
    assert [(row.job, row.members) for row in rows] == [("lenet@d2l", 1), ("lenet@d2l", 8), ("residual_mlp", 1)]
    assert "| lenet@d2l, 8 seeds stacked, per seed | float32 |" in as_markdown(rows)
    assert {(row.job, row.members) for row in bench(speed.STACKED_JOBS, stack=True, device="cpu")} == {
        (job, members) for job in speed.STACKED_JOBS for members in (1, 8)
    }


def test_a_real_timing_runs_to_its_end(monkeypatch):
    monkeypatch.setattr(machine, "SIZES", {"cpu": (64, 2**12)})
    monkeypatch.setattr(speed, "splits_of", lambda job, recipe, data_dir: splits_of(drawn(200)))
    (row,) = bench(["memory_mlp"], pairs=1, seconds=0.1, precision="float32", device="cpu")
    assert row.ratios[0] == row.convarium[0] / row.reference[0] > 0
    assert re.search(r"memory_mlp .* 1 pair\)", as_markdown([row]))


def test_wrong_calls_are_refused():
    with pytest.raises(SpecError, match=r"unknown job 'lenet'; did you mean 'lenet@d2l'"):
        bench(["lenet"])
    with pytest.raises(ConvariumError, match="timing is out of range: expected pairs ≥ 1 and seconds > 0"):
        bench(["lenet@d2l"], pairs=0)
    with pytest.raises(ConvariumError, match="out of range"):
        bench(["lenet@d2l"], seconds=0)
    with pytest.raises(ConvariumError, match="comparison is out of range: expected seeds ≥ 1 and epochs ≥ 1"):
        equal_accuracy("lenet@d2l", seeds=0)


def test_the_least_time_counts(monkeypatch):
    times = iter([0.0, 5.0, 10.0, 13.0, 20.0, 21.0, 30.0, 34.0, 40.0, 42.0])
    assert fastest(lambda: None, CPU, 1.0, clock=lambda: next(times)) == 1.0
    monkeypatch.setattr(machine, "SIZES", {"cpu": (64, 2**12)})
    best = ceiling("cpu", seconds=0.001)
    assert min(best.float32, best.bfloat16, best.bandwidth) > 0
    assert Ceiling(1e12, 2e12, 1e9).share(5e11, "float32") == 0.5
    assert Ceiling(1e12, 2e12, 1e9).share(5e11, "bfloat16") == 0.25


def test_a_cold_training_is_timed_from_the_start_of_its_process():
    recipe = Recipe(model="memory_mlp", dataset="digits", epochs=2, seed=1)
    cold = train_cold(recipe, device="cpu")
    assert (cold.model, cold.precision, cold.epochs, cold.images) == ("memory_mlp", "float32", 2, 1257)
    assert 0 < cold.first_step < cold.total
    assert 0 < cold.training < cold.total
    splits = convarium.data.load_data("digits", validation=recipe.validation)
    assert cold.accuracy == fit(recipe, splits, device="cpu").test.accuracy


def test_a_cold_training_without_its_data_is_refused(tmp_path):
    with pytest.raises(ConvariumError, match="nowhere"):
        train_cold(Recipe(dataset=f"folder:{tmp_path}/nowhere"), device="cpu")


@pytest.fixture
def printed(timed, monkeypatch, capsys):
    """What the command prints of measurements that are known."""

    def start(job, *, epochs, precision, **_):
        where = dataclasses.replace(environment("cpu"), threads=2)
        return ColdStart(JOBS[job].model, precision, epochs, 1000, 2.5, 10.0, 14.0, 0.9, where)

    def judged(job, *, precisions, seeds, epochs, **_):
        return [
            Accuracies(job, p, epochs, 9, (0.9,) * seeds, (None,) * seeds, None, f"{job} in {p} is judged")
            for p in precisions
        ]

    monkeypatch.setattr(benchmark, "time_cold_start", start)
    monkeypatch.setattr(benchmark, "equal_accuracy", judged)

    def call(*words, code=0):
        assert main(["bench", *words, "--pairs", "3", "--device", "cpu"]) == code
        shown = capsys.readouterr()
        return shown.err if code else shown.out

    return call


def test_the_command_prints_markdown(printed):
    text = printed("lenet@d2l", "--cold", "4", "--accuracy", "--stack")
    rows = [line.split(" | ")[:3] for line in text.splitlines() if line.startswith("| lenet")]
    stack = "| lenet@d2l, 8 seeds stacked, per seed"
    assert [row[:2] for row in rows] == [
        [job, p] for job in ("| lenet@d2l", stack, "| lenet@d2l") for p in ("float32", "bfloat16")
    ]
    # 4 epochs of 1,000 images at the reference's 100 a second.
    assert "| lenet@d2l | bfloat16 | 4 | 2.5 | 10.0 | 14.0 | 40.0 | 90.00% |" in text
    assert text.endswith("\n\n- lenet@d2l in float32 is judged\n- lenet@d2l in bfloat16 is judged\n")
    assert printed("lenet@d2l", "--markdown") == printed("lenet@d2l")


def test_the_command_prints_json(printed):
    flags = ["--cold", "4", "--accuracy", "--seeds", "3", "--stack", "--json"]
    single, half, stacked, _ = json.loads(printed("lenet@d2l", *flags))
    assert single["ratios"] == [4, 5, 6]
    assert (single["precision"], half["precision"]) == ("float32", "bfloat16")
    assert half["cold"]["precision"] == half["accuracy"]["precision"] == "bfloat16"
    assert half["accuracy"]["reference"] == [0.9] * 3
    assert single["cold"]["first_step"] == 2.5
    assert stacked["members"] == 8
    assert not {"cold", "accuracy"} & stacked.keys()


def test_the_command_records_its_figures_and_makes_the_page(printed, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()  # a checkout of its own, so that no record of the real one is written
    monkeypatch.setattr("convarium.studies.reproductions.results_folder", lambda: tmp_path / "results")
    page = tmp_path / "docs" / "speed.md"
    page.parent.mkdir()
    page.write_text(f"# By hand\n\n{MARKER}\n", encoding="utf-8")
    printed("lenet@d2l", "--cold", "4", "--accuracy", "--seeds", "2", "--record")
    (path,) = (tmp_path / "results" / "speed").glob("*.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [(t["precision"], t["ratio"]["median"]) for t in content["timings"]] == [("float32", 5), ("bfloat16", 5)]
    assert content["timings"][0]["cold"]["training"] == 10.0
    assert content["accuracies"][1]["accuracies"] == [[None, None], [0.9, 0.9]]
    assert "| lenet@d2l |" not in page.read_text(encoding="utf-8")
    assert main(["bench", "--page"]) == 0
    assert "| lenet@d2l | bfloat16 | 256 | 100 | 500 | 5.0 (4.0 to 6.0, 3 pairs) |" in page.read_text(encoding="utf-8")
    printed("resnet@uva", "--record", "--page")
    assert "| resnet@uva | float32 |" in page.read_text(encoding="utf-8")


def test_the_command_refuses_before_it_measures(printed):
    assert "--page without --record takes no JOB" in printed("lenet@d2l", "--page", code=2)
    assert "choose one of --markdown and --json" in printed("--markdown", "--json", code=2)
    for flag in ("--cold", "--seeds", "--epochs"):
        complaint = printed("lenet@d2l", flag, "0", code=2)
        assert "--seeds, --epochs or --cold is out of range: expected 1 or more" in complaint

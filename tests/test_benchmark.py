import ast
import contextlib
import copy
import dataclasses
import importlib.resources
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp

import convarium.data
from convarium.benchmark import (
    JOBS,
    Accuracies,
    ColdStart,
    accuracy,
    as_json,
    as_markdown,
    bench,
    equal_accuracy,
    losses,
    machine,
    reference,
    sides,
    timing,
    trainer,
)
from convarium.benchmark.accuracy import judge
from convarium.benchmark.cold import train_cold
from convarium.benchmark.losses import copy_weights, first_losses
from convarium.benchmark.machine import Ceiling, ceiling, fastest
from convarium.benchmark.racing import WARM_UP_SECONDS, alternate, racing, stopwatch
from convarium.building import build_model
from convarium.cli import bench_command
from convarium.cost import environment
from convarium.data.batches import Batches
from convarium.data.images import ImageData, Splits
from convarium.data.transforms import ResizedCrop, parse_augment, parse_normalize
from convarium.errors import ConvariumError, SpecError
from convarium.models import PRESETS
from convarium.recipe import Recipe
from convarium.recipe_presets import recipe_preset
from convarium.statistics import equivalence
from convarium.training import fit

CPU = torch.device("cpu")

# shared/reference of the sources: the exact counts of their own networks.
PARAMETERS = {
    "memory_mlp": 1_237_162,
    "residual_mlp": 1_238_730,
    "residual_cnn": 41_514,
    "mnist_resnet": 106_186,
    "lenet@d2l": 61_706,
    "alexnet@d2l": 46_764_746,
    "vgg11@d2l-small": 43_093_322,
    "nin@d2l": 1_992_166,
    "googlenet@uva": 260_650,
    "resnet@uva": 272_378,
    "preact_resnet@uva": 272_250,
    "densenet@uva": 239_146,
}


def drawn(n, channels=1, side=28, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, channels, side, side), generator=generator, dtype=torch.uint8)
    return ImageData(images, torch.arange(n) % 10, tuple("0123456789"))


def splits_of(train, test=None):
    nothing = train.take(torch.arange(0))
    return Splits("mnist", train, nothing, test or train, "0" * 64, (0.1307,), (0.3081,))


def test_the_reference_imports_nothing_of_what_it_is_a_yardstick_for():
    for name in ("reference", "networks", "networks_uva"):
        source = importlib.resources.files("convarium.benchmark").joinpath(f"{name}.py").read_text(encoding="utf-8")
        imported = []
        for node in ast.walk(ast.parse(source)):
            imported += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            imported += [f"{node.module}.{a.name}" for a in node.names] if isinstance(node, ast.ImportFrom) else []
        ours = {module for module in imported if module.startswith("convarium")}
        assert ours <= {"convarium.benchmark.networks", "convarium.benchmark.networks_uva"}


def test_every_network_of_the_sources_has_a_job():
    assert JOBS.keys() == PARAMETERS.keys()


def shake(network):
    """Draws norms' weights and statistics too, so that two of them cannot be exchanged unnoticed."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and ("running" in name or tensor.ndim == 1):
            tensor.uniform_(0.5, 1.5) if "mean" not in name else tensor.normal_(0, 0.1)


@pytest.mark.parametrize("name", JOBS)
def test_a_reference_network_is_the_preset_with_other_names(name):
    job = JOBS[name]
    torch.manual_seed(0)
    theirs = job.network().eval()
    assert sum(p.numel() for p in theirs.parameters()) == PARAMETERS[name]
    shake(theirs)
    image = PRESETS[job.model].image
    ours = build_model(job.model, image).eval()
    copy_weights(theirs, ours)
    images = torch.rand(2, image.channels, image.height, image.width)
    with torch.no_grad():
        expected = theirs(images)
        torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert expected.std() > 0


@pytest.mark.parametrize("name", JOBS)
def test_a_job_trains_by_the_recipe_of_its_source(name):
    job = JOBS[name]
    recipe = recipe_preset(job.tag, job.model)
    for field in (
        "dataset",
        "batch_size",
        "optimizer",
        "learning_rate",
        "momentum",
        "weight_decay",
        "drop_last",
        "resize",
    ):
        assert getattr(recipe, field) == getattr(job, field), field
    assert parse_normalize(recipe.normalize) == ((job.mean, job.std) if job.mean else ((0.0,), (1.0,)))
    crop = "flip, resized_crop(scale=(0.8, 1.0), ratio=(0.9, 1.1))"
    assert parse_augment(recipe.augment) == parse_augment(crop if job.augment else "none")
    assert job.workers == (4 if job.tag in ("d2l", "uva") else 0)
    optimizer = reference.optimizer_of(job, torch.nn.Linear(1, 1))
    assert type(optimizer).__name__.lower() == job.optimizer


@pytest.mark.parametrize("name", ["memory_mlp", "lenet@d2l", "resnet@uva"])
def test_images_reach_both_networks_alike(name):
    job = JOBS[name]
    data = drawn(20, *((3, 32) if job.dataset == "cifar10" else (1, 28)))
    job = dataclasses.replace(job, workers=0)
    ((theirs, their_labels),) = reference.loader(job, *sides.arrays_of(data), device="cpu", training=False)
    batches = Batches(data, batch_size=20, mean=job.mean or (0.0,), std=job.std or (1.0,))
    ((ours, our_labels),) = batches.epoch(0)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert torch.equal(our_labels, their_labels)


def test_images_are_enlarged_alike():
    data = drawn(5)
    job = dataclasses.replace(JOBS["alexnet@d2l"], workers=0)
    ((theirs, _),) = reference.loader(job, *sides.arrays_of(data), device="cpu", training=False)
    ((ours, _),) = Batches(data, batch_size=5, resize=224).epoch(0)
    # Pillow rounds to whole grey levels after each of its two passes.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1.5 / 255)


def test_boxes_are_drawn_by_one_law():
    torch.manual_seed(0)
    scale, ratio = (0.8, 1.0), (0.9, 1.1)
    theirs = torch.tensor([reference.crop_box(32, 32, scale, ratio) for _ in range(2000)])
    ours = ResizedCrop(scale, ratio).draw(2000, 32, 32, torch.Generator().manual_seed(1))
    for column in range(4):
        assert ks_2samp(theirs[:, column], ours[:, column]).pvalue > 1e-3


def test_boxes_are_cut_out_and_enlarged_alike():
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8), (32, 32), mode="bilinear").mul(255).byte()
    box = (3, 5, 27, 26)
    ours = ResizedCrop().apply(smooth, torch.tensor([box]))[0]
    top, left, height, width = box
    image = Image.fromarray(smooth[0].permute(1, 2, 0).numpy())
    theirs = image.crop((left, top, left + width, top + height)).resize((32, 32), Image.Resampling.BILINEAR)
    assert (ours - torch.from_numpy(np.array(theirs)).permute(2, 0, 1)).abs().max() < 2.5  # grey levels, of 255


def test_half_of_the_images_are_mirrored():
    torch.manual_seed(0)
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    mirrored = sum(np.array(reference.random_flip(image))[0, 0] == 2 for _ in range(1000))
    assert 430 < mirrored < 570  # binomial, four standard deviations


def test_a_box_that_never_fits_is_the_middle():
    assert reference.crop_box(32, 30, (4.0, 4.0), (1.0, 1.0)) == (0, 1, 30, 30)


def test_augmented_images_differ_from_turn_to_turn_and_evaluated_ones_do_not():
    job = dataclasses.replace(JOBS["resnet@uva"], workers=0)
    arrays = sides.arrays_of(drawn(1, 3, 32))
    training = reference.Images(*arrays, reference.transforms_of(job))
    evaluated = reference.Images(*arrays, reference.transforms_of(job, training=False))
    assert not torch.equal(training[0][0], training[0][0])
    assert torch.equal(evaluated[0][0], evaluated[0][0])


def test_workers_load_the_batches_without_a_warning():
    job = dataclasses.replace(JOBS["lenet@d2l"], batch_size=8)
    data = drawn(20)
    network = job.network()
    batches = reference.loader(job, *sides.arrays_of(data), device="cpu")
    losses = list(reference.train(network, reference.optimizer_of(job, network), batches, device="cpu"))
    assert [size for size, _ in losses] == [8, 8, 4]
    assert all(np.isfinite(loss) for _, loss in losses)


class EnoughError(Exception):
    pass


def ticks(side, n):
    """The images of a side's first n steps."""
    seen = []

    def tick(images):
        seen.append(images)
        if len(seen) == n:
            raise EnoughError

    with pytest.raises(EnoughError):
        side(tick)
    return seen


def test_both_sides_tell_the_images_of_every_step():
    job = dataclasses.replace(JOBS["memory_mlp"], batch_size=8)
    splits = splits_of(drawn(20))  # batches of 8, 8 and 4: seven steps cross two ends of an epoch
    recipe = dataclasses.replace(sides.recipe_of(job, "float32"), batch_size=8)
    expected = [8, 8, 4, 8, 8, 4, 8]
    assert ticks(sides.reference_side(job, splits.train, CPU), 7) == expected
    assert ticks(sides.convarium_side(recipe, splits, CPU), 7) == expected
    dropping = dataclasses.replace(recipe, drop_last=True)
    assert ticks(sides.convarium_side(dropping, splits, CPU), 5) == [8] * 5
    assert ticks(sides.convarium_side(recipe, splits, CPU, members=3), 7) == [3 * n for n in expected]


@pytest.mark.filterwarnings("ignore")  # Lightning's advice
def test_lightning_takes_the_steps_of_the_reference():
    train = drawn(20)  # one batch, so that no shuffling matters
    torch.manual_seed(0)
    in_lightning = JOBS["lenet@d2l"].network()
    alone = copy.deepcopy(in_lightning)
    before = copy.deepcopy(in_lightning).state_dict()
    for network, side in ((in_lightning, sides.lightning_side), (alone, sides.reference_side)):
        job = dataclasses.replace(JOBS["lenet@d2l"], network=lambda network=network: network, workers=0)
        assert ticks(side(job, train, CPU), 3) == [20, 20, 20]
    for name, tensor in in_lightning.state_dict().items():
        torch.testing.assert_close(tensor, alone.state_dict()[name], rtol=1e-4, atol=1e-6)
        assert not torch.equal(tensor, before[name])


def test_without_lightning_its_part_is_refused(monkeypatch):
    monkeypatch.setattr(trainer, "find_spec", lambda name: None)
    with pytest.raises(ConvariumError, match=r"Lightning is not installed; pip install 'convarium\[bench\]'"):
        bench(["lenet@d2l"], lightning=True, device="cpu")


def test_lightning_is_a_second_yardstick(raced):
    (row,) = bench(["lenet@d2l"], pairs=1, precision="float32", lightning=True, device="cpu")
    assert row.lightning == (400,)
    assert row.lightning_ratios == (1,)
    assert "| Lightning, img/s | ratio to Lightning |" in as_markdown([row])
    assert "| 4.0 (4.0 to 4.0, 1 pair) | 400 | 1.0 (1.0 to 1.0, 1 pair) |" in as_markdown([row])


def test_a_stack_is_of_seeds(monkeypatch):
    trained = []
    monkeypatch.setattr(sides, "fit_stack", lambda recipes, *_, **__: trained.extend(recipes))
    recipe = sides.recipe_of(JOBS["memory_mlp"], "float32")
    with pytest.raises(ConvariumError):
        sides.convarium_side(recipe, splits_of(drawn(20)), CPU, members=8)(lambda images: None)
    assert trained == [dataclasses.replace(recipe, seed=seed) for seed in range(8)]


def diverging(members=1):
    recipe = recipe_preset("residual-blog", "residual_cnn")
    recipe = dataclasses.replace(recipe, learning_rate=1e30, momentum=0.0, batch_size=10, watch_test=False, epochs=100)
    return sides.convarium_side(recipe, splits_of(drawn(20)), CPU, members=members)


@pytest.mark.parametrize("members", [1, 2])
def test_a_diverged_training_is_no_measure_of_speed(members):
    with pytest.raises(ConvariumError, match="residual_cnn diverged before its timing ended; time it for fewer second"):
        diverging(members)(lambda images: None)


def test_a_turn_is_timed_after_its_warm_up_and_goes_on_where_the_last_one_rested():
    waits, reports, now = iter([3.0, 0.0]), [], 0.0

    def wait():
        nonlocal now
        now += 100.0  # resting is not timed
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
    assert reports == [20.0, 20.0]


def test_every_pair_begins_with_another_side():
    calls = []

    def turn(name, rate):
        return lambda seconds: calls.append((name, seconds)) or rate

    turns = {name: turn(name, rate) for rate, name in enumerate("rfb")}
    assert alternate(turns, pairs=4, seconds=2.0) == {"r": (0,) * 4, "f": (1,) * 4, "b": (2,) * 4}
    assert "".join(name for name, _ in calls) == "rfbfbrbrfrfb"
    assert {seconds for _, seconds in calls} == {2.0}


def test_a_side_that_ends_by_itself_ends_the_race():
    with pytest.raises(ConvariumError, match="residual_cnn diverged"), racing({"ours": diverging()}, CPU):
        pass
    with pytest.raises(ConvariumError, match="ended by itself; see its own message"), racing({"ours": print}, CPU):
        pass


@pytest.fixture
def raced(monkeypatch):
    """`bench` over sides with known rates: the reference 100, Convarium 400 images a second and more every turn."""
    monkeypatch.setattr(timing, "ceiling", lambda device: Ceiling(1e12, 2e12, 1e10))
    images = {"cifar10": (3, 32)}
    monkeypatch.setattr(timing, "splits_of", lambda job, *_: splits_of(drawn(20, *images.get(job.dataset, (1, 28)))))

    @contextlib.contextmanager
    def race(sides, device):
        grown = {name: iter(range(400, 1000, 100)) for name in sides}
        yield {name: lambda _, name=name: 100 if name == "reference" else next(grown[name]) for name in sides}

    monkeypatch.setattr(timing, "racing", race)


def test_a_row_holds_what_was_measured(raced):
    seen = []
    rows = bench(["lenet@d2l"], pairs=3, seconds=5, device="cpu", progress=seen.append)
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


def test_rows_become_a_table_under_their_machine(raced):
    text = as_markdown(bench(["lenet@d2l"], pairs=3, seconds=5, device="cpu"))
    machine_line, _, head, rule, row, half = text.splitlines()
    assert re.search(r"\d+ threads?, torch", machine_line)
    assert head.count("|") == rule.count("|") == row.count("|") == half.count("|")
    assert "| lenet@d2l | float32 | 256 | 100 | 500 | 5.0 (4.0 to 6.0, 3 pairs) |" in row
    assert "| lenet@d2l | bfloat16 | 256 | 100 | 500 | 5.0 (4.0 to 6.0, 3 pairs) |" in half
    assert as_markdown([]) == ""


def test_stacks_have_rows_of_their_own(raced):
    rows = bench(["lenet@d2l", "residual_mlp"], pairs=1, precision="float32", stack=True, device="cpu")
    assert [(row.job, row.members) for row in rows] == [("lenet@d2l", 1), ("lenet@d2l", 8), ("residual_mlp", 1)]
    assert "| lenet@d2l, 8 seeds stacked, per seed | float32 |" in as_markdown(rows)
    assert {(row.job, row.members) for row in bench(timing.STACKED_JOBS, stack=True, device="cpu")} == {
        (job, members) for job in timing.STACKED_JOBS for members in (1, 8)
    }


def test_a_real_race_is_run_to_its_end(monkeypatch):
    monkeypatch.setattr(machine, "SIZES", {"cpu": (64, 2**12)})
    monkeypatch.setattr(timing, "splits_of", lambda job, recipe, data_dir: splits_of(drawn(200)))
    (row,) = bench(["memory_mlp"], pairs=1, seconds=0.1, precision="float32", device="cpu")
    assert row.ratios[0] == row.convarium[0] / row.reference[0] > 0
    assert re.search(r"memory_mlp .* 1 pair\)", as_markdown([row]))


def test_wrong_calls_are_told():
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


@pytest.fixture
def digits(monkeypatch):
    """The digits of scikit-learn stand for MNIST: same form, always there."""
    monkeypatch.setattr(sides, "load_data", lambda *_, **__: convarium.data.load_data("digits", validation=0))


def test_both_sides_learn_as_much(digits, monkeypatch):
    recipes = []
    monkeypatch.setattr(accuracy, "fit", lambda recipe, *args, **kw: recipes.append(recipe) or fit(recipe, *args, **kw))
    alone, half = equal_accuracy("memory_mlp", seeds=2, images=1000, device="cpu")
    assert [(r.precision, r.seed) for r in recipes] == [(p, s) for p in ("float32", "bfloat16") for s in (0, 1)]
    assert (alone.precision, half.precision) == ("float32", "bfloat16")
    assert alone.reference == half.reference
    assert alone.images == 1000
    for result in (alone, half):
        assert len(result.reference) == len(result.convarium) == 2
        assert min(*result.reference, *result.convarium) > 0.5
        assert abs(np.mean(result.reference) - np.mean(result.convarium)) < 0.15
        assert result.equivalence.margin == 0.01
        assert f"memory_mlp in {result.precision} is" in result.verdict


def test_more_epochs_learn_more(digits):
    (one,) = equal_accuracy("memory_mlp", precisions=["float32"], seeds=1, images=500, device="cpu")
    (three,) = equal_accuracy("memory_mlp", precisions=["float32"], seeds=1, images=500, epochs=3, device="cpu")
    assert three.reference > one.reference
    assert three.convarium > one.convarium


def test_equivalence_is_judged_by_the_protocol():
    rng = np.random.default_rng(0)
    theirs, ours = (list(0.9 + 0.001 * rng.standard_normal(10)) for _ in range(2))
    images = drawn(1000)
    same, verdict = judge("net", theirs, ours, "mnist", images, 2)
    assert same == equivalence(ours, theirs, 0.003, paired=False, family=2)
    assert same.equivalent
    assert re.fullmatch(
        r"net is equivalent to the reference within 0\.3 points "
        r"\(95% interval −?0\.\d+ to −?0\.\d+ points, 10 and 10 trainings, family of 2\)",
        verdict,
    )
    worse, verdict = judge("net", theirs, [a - 0.003 for a in ours], "mnist", images, 1)
    assert not worse.equivalent
    assert "undecided: net is not shown to be equivalent to the reference within 0.3 points (90% interval" in verdict


def test_failed_trainings_are_told_first():
    theirs, ours = [0.9, 0.91, 0.1, 0.9], [0.9, None, 0.91, 0.9]  # a tenth is chance for ten classes
    same, verdict = judge("net", theirs, ours, "cifar10", drawn(1000), 1)
    assert verdict.startswith("1 of 4 runs of net failed; 1 of 4 runs of the reference failed; undecided: net is not")
    assert same == equivalence([0.9, 0.91, 0.9], [0.9, 0.91, 0.9], 0.005, paired=False)
    same, verdict = judge("net", [0.1, 0.1], [None, 0.9], "cifar10", drawn(1000), 1)
    assert same is None
    assert verdict.endswith("undecided: too few trainings to compare net with the reference")


@pytest.mark.parametrize("name", ["lenet@d2l", "residual_cnn"])
def test_first_losses_agree_from_equal_weights_on_equal_batches(name, monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", 3)
    job, splits = JOBS[name], splits_of(drawn(600))
    alone, half = first_losses(job, name, ["float32", "bfloat16"], splits, CPU)
    assert alone.reference == half.reference
    assert len(set(alone.reference)) == len(alone.convarium) == 3
    assert alone.agree
    assert alone.apart < 1e-5
    assert half.agree
    assert half.apart > alone.apart
    assert re.fullmatch(
        rf"the first 3 losses of {name} in float32 agree .* \(\S+ apart, 0.0078 allowed\)", alone.verdict
    )


def test_first_losses_of_another_training_do_not_agree(monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", 3)
    job = dataclasses.replace(JOBS["lenet@d2l"], learning_rate=5.0)
    (result,) = first_losses(job, "lenet@d2l", ["float32"], splits_of(drawn(600)), CPU)
    assert not result.agree
    assert "do not agree" in result.verdict
    endless = dataclasses.replace(job, learning_rate=1e38)
    (result,) = first_losses(endless, "lenet@d2l", ["float32"], splits_of(drawn(600)), CPU)
    assert (result.agree, result.apart) == (False, None)
    assert None in result.reference
    assert "(one is not finite, 0.0078 allowed)" in result.verdict


def test_dropout_does_not_keep_first_losses_apart(monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", 2)
    job = dataclasses.replace(JOBS["nin@d2l"], batch_size=2)
    train = dataclasses.replace(drawn(8), resize=224)
    (result,) = first_losses(job, "nin@d2l", ["float32"], splits_of(train), CPU)
    assert result.agree


def test_at_224_pixels_on_a_cpu_the_first_losses_are_compared(monkeypatch):
    monkeypatch.setattr(accuracy, "splits_of", lambda *_: splits_of(drawn(8)))
    monkeypatch.setattr(accuracy, "first_losses", lambda job, name, *_: [name])
    assert equal_accuracy("alexnet@d2l", device="cpu") == ["alexnet@d2l"]


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
def told(raced, monkeypatch, capsys):
    """What the command prints of measurements that are known."""

    def start(job, *, epochs, precision, **_):
        where = dataclasses.replace(environment("cpu"), threads=2)
        return ColdStart(JOBS[job].model, precision, epochs, 1000, 2.5, 10.0, 14.0, 0.9, where)

    def judged(job, *, precisions, seeds, epochs, **_):
        return [
            Accuracies(job, p, epochs, 9, (0.9,) * seeds, (None,) * seeds, None, f"{job} in {p} is told")
            for p in precisions
        ]

    monkeypatch.setattr(bench_command, "cold_start", start)
    monkeypatch.setattr(bench_command, "equal_accuracy", judged)

    def call(*jobs, **options):
        bench_command.bench(jobs, pairs=3, device="cpu", **options)
        return capsys.readouterr().out

    return call


def test_the_command_prints_markdown(told):
    text = told("lenet@d2l", cold=4, accuracy=True, stack=True)
    rows = [line.split(" | ")[:3] for line in text.splitlines() if line.startswith("| lenet")]
    stack = "| lenet@d2l, 8 seeds stacked, per seed"
    assert [row[:2] for row in rows] == [
        [job, p] for job in ("| lenet@d2l", stack, "| lenet@d2l") for p in ("float32", "bfloat16")
    ]
    # 4 epochs of 1,000 images at the reference's 100 a second.
    assert "| lenet@d2l | bfloat16 | 4 | 2.5 | 10.0 | 14.0 | 40.0 | 90.00% |" in text
    assert text.endswith("\n\n- lenet@d2l in float32 is told\n- lenet@d2l in bfloat16 is told\n")
    assert told("lenet@d2l", markdown=True) == told("lenet@d2l")


def test_the_command_prints_json(told):
    single, half, stacked, _ = json.loads(told("lenet@d2l", cold=4, accuracy=True, seeds=3, stack=True, as_json=True))
    assert single["ratios"] == [4, 5, 6]
    assert (single["precision"], half["precision"]) == ("float32", "bfloat16")
    assert half["cold"]["precision"] == half["accuracy"]["precision"] == "bfloat16"
    assert half["accuracy"]["reference"] == [0.9] * 3
    assert single["cold"]["first_step"] == 2.5
    assert stacked["members"] == 8
    assert not {"cold", "accuracy"} & stacked.keys()


def test_the_command_refuses_before_it_measures(told):
    with pytest.raises(ConvariumError, match="choose one of --markdown and --json"):
        told(markdown=True, as_json=True)
    for options in ({"cold": 0}, {"seeds": 0}, {"epochs": 0}):
        with pytest.raises(ConvariumError, match="--seeds, --epochs or --cold is out of range: expected 1 or more"):
            told("lenet@d2l", **options)


def test_weights_are_copied_whole_or_not_at_all():
    with pytest.raises(ConvariumError, match="no weights for bias"):
        copy_weights(torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(2, 3))
    with pytest.raises(ConvariumError, match="weights left over"):
        copy_weights(torch.nn.Linear(2, 3), torch.nn.Linear(2, 3, bias=False))

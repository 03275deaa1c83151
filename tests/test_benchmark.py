import ast
import dataclasses
import importlib.resources
import json
import re
from collections import defaultdict

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp

import convarium.data
from convarium.benchmark import JOBS, as_json, as_markdown, bench, equal_accuracy, machine, reference, sides, timing
from convarium.benchmark.machine import Ceiling, ceiling, fastest
from convarium.benchmark.timing import WARM_UP_STEPS, alternate, steps_for
from convarium.building import build_model
from convarium.data.batches import Batches
from convarium.data.images import ImageData, Splits
from convarium.data.transforms import ResizedCrop, parse_augment, parse_normalize
from convarium.errors import ConvariumError, SpecError
from convarium.models import PRESETS
from convarium.recipe_presets import recipe_preset

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


def copy_by_shape(source, target):
    """Copies tensors of one shape in the order of registration: the two name their modules differently."""
    shelves = defaultdict(list)
    for tensor in source.state_dict().values():
        shelves[tuple(tensor.shape)].append(tensor)
    with torch.no_grad():
        for tensor in target.state_dict().values():
            tensor.copy_(shelves[tuple(tensor.shape)].pop(0))
    assert not any(shelves.values())


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
    copy_by_shape(theirs, ours)
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
    ((theirs, their_labels),) = reference.loader(job, *sides._arrays(data), device="cpu", training=False)
    batches = Batches(data, batch_size=20, mean=job.mean or (0.0,), std=job.std or (1.0,))
    ((ours, our_labels),) = batches.epoch(0)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert torch.equal(our_labels, their_labels)


def test_images_are_enlarged_alike():
    data = drawn(5)
    job = dataclasses.replace(JOBS["alexnet@d2l"], workers=0)
    ((theirs, _),) = reference.loader(job, *sides._arrays(data), device="cpu", training=False)
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
    arrays = sides._arrays(drawn(1, 3, 32))
    training = reference.Images(*arrays, reference.transforms_of(job))
    evaluated = reference.Images(*arrays, reference.transforms_of(job, training=False))
    assert not torch.equal(training[0][0], training[0][0])
    assert torch.equal(evaluated[0][0], evaluated[0][0])


def test_workers_load_the_batches_without_a_warning():
    job = dataclasses.replace(JOBS["lenet@d2l"], batch_size=8)
    data = drawn(20)
    network = job.network()
    batches = reference.loader(job, *sides._arrays(data), device="cpu")
    losses = list(reference.train(network, reference.optimizer_of(job, network), batches, device="cpu"))
    assert [size for size, _ in losses] == [8, 8, 4]
    assert all(np.isfinite(loss) for _, loss in losses)


def test_both_sides_train_as_many_images():
    job = dataclasses.replace(JOBS["memory_mlp"], batch_size=8)
    train = drawn(20)  # batches of 8, 8 and 4: five timed steps cross two ends of an epoch
    recipe = dataclasses.replace(sides.recipe_of(job, "float32"), batch_size=8)
    theirs, took = sides.reference_side(job, train, CPU)(2, 5)
    ours, ours_took = sides.convarium_side(recipe, splits_of(train), CPU)(2, 5)
    assert theirs == ours == 4 + 8 + 8 + 4 + 8
    assert took > 0
    assert ours_took > 0


def test_the_convarium_side_drops_the_last_batch_where_the_recipe_does():
    recipe = dataclasses.replace(recipe_preset("memory-blog", "memory_mlp"), batch_size=8, drop_last=True, epochs=100)
    images, _ = sides.convarium_side(recipe, splits_of(drawn(20)), CPU)(1, 3)
    assert images == 24


def test_a_diverged_training_is_no_measure_of_speed():
    recipe = recipe_preset("residual-blog", "residual_cnn")
    recipe = dataclasses.replace(recipe, learning_rate=1e30, momentum=0.0, batch_size=10, watch_test=False, epochs=100)
    with pytest.raises(
        ConvariumError, match="residual_cnn diverged before its timing ended; time it for fewer seconds"
    ):
        sides.convarium_side(recipe, splits_of(drawn(20)), CPU)(1, 50)


def fake(rate, calls, name):
    """A side that trains `rate` images a second, ten a step."""

    def run(warm_up, steps):
        calls.append((name, warm_up, steps))
        return 10 * steps, 10 * steps / rate

    return run


def test_sides_take_turns_and_every_other_pair_begins_with_the_second():
    calls = []
    figures = alternate(fake(100, calls, "r"), fake(700, calls, "c"), pairs=3, steps=4)
    assert figures == [(pytest.approx(100), pytest.approx(700))] * 3
    assert [name for name, _, _ in calls] == ["r", "c", "c", "r", "r", "c"]
    assert {(warm_up, steps) for _, warm_up, steps in calls} == {(WARM_UP_STEPS, 4)}


@pytest.mark.parametrize(("rate", "steps"), [(1, 2), (20, 20), (1000, 1000), (100_000, 100_000)])
def test_steps_fill_the_seconds(rate, steps):
    # Ten images a step: at 20 images a second ten seconds hold 20 steps; never fewer than two.
    assert steps_for(fake(rate, [], "r"), 10.0) == steps


@pytest.fixture
def raced(monkeypatch):
    """`bench` over sides with known rates: the reference 100, Convarium 400 images a second and more every pair."""
    grown = iter(range(400, 1000, 100))
    monkeypatch.setattr(timing, "ceiling", lambda device: Ceiling(1e12, 2e12, 1e10))
    monkeypatch.setattr(timing, "splits_of", lambda job, recipe, data_dir: splits_of(drawn(20)))
    monkeypatch.setattr(timing, "reference_side", lambda job, train, device: fake(100, [], "r"))

    def ours(recipe, splits, device):
        return lambda warm_up, steps: (10 * steps, 10 * steps / next(grown))

    monkeypatch.setattr(timing, "convarium_side", ours)


def test_a_row_holds_what_was_measured(raced):
    seen = []
    rows = bench(["lenet@d2l"], pairs=3, seconds=5, device="cpu", progress=seen.append)
    (row,) = rows
    assert seen == rows
    assert (row.job, row.batch_size, row.steps, row.precision) == ("lenet@d2l", 256, 50, "float32")
    assert row.reference == pytest.approx((100, 100, 100))
    assert row.convarium == pytest.approx((400, 500, 600))
    assert row.ratios == pytest.approx((4, 5, 6))
    # 2 · 416,520 multiply-adds forward (d2l's LeNet, by hand), three times that a step, 500 images/s, of 10¹² FLOP/s.
    multiply_adds = 25 * 784 * 6 + 25 * 6 * 16 * 100 + 400 * 120 + 120 * 84 + 84 * 10
    assert row.share == pytest.approx(500 * 3 * 2 * multiply_adds / 1e12)
    (form,) = json.loads(json.dumps(as_json(rows)))
    assert form["ratios"] == pytest.approx([4, 5, 6])
    assert form["environment"]["torch"] == torch.__version__
    assert form["ceiling"]["bandwidth"] == 1e10


def test_rows_become_a_table_under_their_machine(raced):
    text = as_markdown(bench(["lenet@d2l"], pairs=3, seconds=5, device="cpu"))
    machine_line, _, head, rule, row = text.splitlines()
    assert "threads, torch" in machine_line
    assert head.count("|") == rule.count("|") == row.count("|")
    assert "| lenet@d2l | float32 | 256 | 100 | 500 | 5.0 (4.0 to 6.0, 3 pairs) |" in row
    assert as_markdown([]) == ""


def test_wrong_calls_are_told():
    with pytest.raises(SpecError, match=r"unknown job 'lenet'; did you mean 'lenet@d2l'"):
        bench(["lenet"])
    with pytest.raises(ConvariumError, match="timing is out of range: expected pairs ≥ 1 and seconds > 0"):
        bench(["lenet@d2l"], pairs=0)
    with pytest.raises(ConvariumError, match="out of range"):
        bench(["lenet@d2l"], seconds=0)


def test_the_least_time_counts(monkeypatch):
    times = iter([0.0, 5.0, 10.0, 13.0, 20.0, 21.0, 30.0, 34.0, 40.0, 42.0])
    assert fastest(lambda: None, CPU, 1.0, clock=lambda: next(times)) == 1.0
    monkeypatch.setattr(machine, "SIZES", {"cpu": (64, 2**12)})
    best = ceiling("cpu", seconds=0.001)
    assert min(best.float32, best.bfloat16, best.bandwidth) > 0
    assert Ceiling(1e12, 2e12, 1e9).share(5e11, "float32") == 0.5
    assert Ceiling(1e12, 2e12, 1e9).share(5e11, "bfloat16") == 0.25


def test_both_sides_learn_as_much(monkeypatch):
    # The digits of scikit-learn stand for MNIST: same form, always there.
    monkeypatch.setattr(sides, "load_data", lambda *_, **__: convarium.data.load_data("digits", validation=0))
    pairs = equal_accuracy("memory_mlp", images=1000, seeds=(0, 1), test_images=10_000, device="cpu")
    assert len(pairs) == 2
    for theirs, ours in pairs:
        assert theirs > 0.5
        assert abs(theirs - ours) < 0.15


@pytest.mark.data("mnist")
def test_a_real_race_is_run_to_its_end(monkeypatch):
    monkeypatch.setattr(machine, "SIZES", {"cpu": (64, 2**12)})
    (row,) = bench(["memory_mlp"], pairs=1, seconds=0.2, device="cpu")
    assert row.ratios[0] > 0
    assert re.search(r"memory_mlp .* 1 pairs", as_markdown([row]))

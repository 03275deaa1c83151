import ast
import dataclasses
import importlib.resources

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp

from convarium.benchmark import (
    JOB_NAMES,
    JOBS,
    contestants,
    reference,
)
from convarium.benchmark.losses import copy_weights
from convarium.data.augmentations import apply, draw
from convarium.data.batches import Batches
from convarium.data.transforms import ResizedCrop, parse_augment, parse_normalize
from convarium.models.build import build_model
from convarium.models.zoo import PRESETS
from convarium.recipes.presets import recipe_preset
from made_images import drawn

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


def test_the_reference_imports_nothing_else_of_convarium():
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
    assert tuple(JOBS) == JOB_NAMES


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
    ((theirs, their_labels),) = reference.loader(job, *contestants.arrays_of(data), device="cpu", training=False)
    batches = Batches(data, batch_size=20, mean=job.mean or (0.0,), std=job.std or (1.0,))
    ((ours, our_labels),) = batches.epoch(0)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert torch.equal(our_labels, their_labels)


def test_images_are_enlarged_alike():
    data = drawn(5)
    job = dataclasses.replace(JOBS["alexnet@d2l"], workers=0)
    ((theirs, _),) = reference.loader(job, *contestants.arrays_of(data), device="cpu", training=False)
    ((ours, _),) = Batches(data, batch_size=5, resize=224).epoch(0)
    # Pillow rounds to whole gray levels after each of its two passes.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1.5 / 255)


def test_boxes_are_drawn_by_one_law():
    torch.manual_seed(0)
    scale, ratio = (0.8, 1.0), (0.9, 1.1)
    theirs = torch.tensor([reference.crop_box(32, 32, scale, ratio) for _ in range(2000)])
    ours = draw(ResizedCrop(scale, ratio), 2000, (32, 32), torch.Generator().manual_seed(1))
    for column in range(4):
        assert ks_2samp(theirs[:, column], ours[:, column]).pvalue > 1e-3


def test_boxes_are_cut_out_and_enlarged_alike():
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8), (32, 32), mode="bilinear").mul(255).byte()
    box = (3, 5, 27, 26)
    ours = apply(ResizedCrop(), smooth, torch.tensor([box]))[0]
    top, left, height, width = box
    image = Image.fromarray(smooth[0].permute(1, 2, 0).numpy())
    theirs = image.crop((left, top, left + width, top + height)).resize((32, 32), Image.Resampling.BILINEAR)
    assert (ours - torch.from_numpy(np.array(theirs)).permute(2, 0, 1)).abs().max() < 2.5  # gray levels, of 255


def test_half_of_the_images_are_mirrored():
    torch.manual_seed(0)
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    mirrored = sum(np.array(reference.random_flip(image))[0, 0] == 2 for _ in range(1000))
    assert 430 < mirrored < 570  # binomial, four standard deviations


def test_a_box_that_never_fits_is_the_middle():
    assert reference.crop_box(32, 30, (4.0, 4.0), (1.0, 1.0)) == (0, 1, 30, 30)


def test_augmented_images_differ_from_turn_to_turn_and_evaluated_ones_do_not():
    job = dataclasses.replace(JOBS["resnet@uva"], workers=0)
    arrays = contestants.arrays_of(drawn(1, 3, 32))
    training = reference.Images(*arrays, reference.transforms_of(job))
    evaluated = reference.Images(*arrays, reference.transforms_of(job, training=False))
    assert not torch.equal(training[0][0], training[0][0])
    assert torch.equal(evaluated[0][0], evaluated[0][0])


def test_workers_load_the_batches_without_a_warning():
    job = dataclasses.replace(JOBS["lenet@d2l"], batch_size=8)
    data = drawn(20)
    network = job.network()
    batches = reference.loader(job, *contestants.arrays_of(data), device="cpu")
    losses = list(reference.train(network, reference.optimizer_of(job, network), batches, device="cpu"))
    assert [size for size, _ in losses] == [8, 8, 4]
    assert all(np.isfinite(loss) for _, loss in losses)

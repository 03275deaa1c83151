"""Exported networks answer as the originals do: every network of the zoo in both formats."""

import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convarium.data.batches import Batches
from convarium.errors import ConvariumError, RunError
from convarium.inference import export_formats
from convarium.inference.deployed import deployed
from convarium.inference.export_check import IMAGES, TOLERANCE, batches_of, check_agreement, measure_latency
from convarium.inference.export_formats import run_module, run_onnx, run_torch_export, to_onnx, to_torch_export, trace
from convarium.models.build import build_model
from convarium.models.zoo import MODELS
from convarium.models.zoo.layers import ACTIVATIONS
from convarium.models.zoo.mlp import MemoryBlock
from convarium.records import ImageSpec, Preprocessing
from made_images import drawn
from small_networks import NETWORKS

METADATA = {"convarium": '{"class_names": ["ä", "b"]}'}


def preprocessing(channels=1, height=28, width=28, resize=None):
    return Preprocessing(
        class_names=tuple("0123456789"),
        channels=channels,
        height=height,
        width=width,
        fit="stretch",
        ground=(255, 255, 255),
        white=None,
        resize=resize,
        mean=(0.1, 0.2, 0.4)[:channels],
        std=(0.3, 0.2, 0.25)[:channels],
    )


def used(network):
    """The network as after training: batch norms with statistics and weights of their own, in evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(std=0.2, generator=generator)
    return network.eval()


def noise(channels=1, height=28, width=28, n=IMAGES):
    return np.random.default_rng(0).integers(256, size=(n, channels, height, width), dtype=np.uint8)


def logits_of(network, process, images):
    """Independent of the code under test: what the network answers to images that are normalized by the formula."""
    pixels = torch.from_numpy(images).double()
    if process.resize:
        pixels = F.interpolate(pixels, (process.resize,) * 2, mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v, dtype=torch.float64).reshape(1, -1, 1, 1) for v in (process.mean, process.std))
    with torch.inference_mode():
        return network(((pixels / 255 - mean) / std).float()).numpy()


def close(received, expected):
    return np.abs(received - expected).max() <= TOLERANCE * np.abs(expected).max()


VARIANTS = [
    (f"{spec[:-1]}, activation={name!r})" if spec.endswith(")") else f"{spec}(activation={name!r})", 1 + 2 * (i % 2))
    for i, (spec, name) in enumerate(zip(NETWORKS.values(), itertools.cycle(ACTIVATIONS)))
]
"""Every network of the zoo, and in turn every activation, gray images and colored ones."""


def test_every_network_of_the_zoo_is_among_them():
    assert len(VARIANTS) == len(MODELS)
    assert len(MODELS) >= len(ACTIVATIONS)


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize(("spec", "channels"), VARIANTS, ids=list(NETWORKS))
def test_every_network_answers_in_both_formats_as_it_does_itself_in_batches_of_any_size(spec, channels):
    network, process = used(build_model(spec, ImageSpec(channels, 28, 28, 10))), preprocessing(channels)
    program = trace(deployed(network, process), (channels, 28, 28), model=spec)
    files = run_onnx(to_onnx(program, METADATA), threads=1), run_torch_export(to_torch_export(program, METADATA))
    images = noise(channels)
    for batch in (images[:1], images[1:3], images[3:10]):
        expected = logits_of(network, process, batch)
        for file in files:
            assert close(file(batch), expected)


class Recording(nn.Module):
    """Gives its input back as logits."""

    def forward(self, x):
        return x.flatten(1)


@pytest.mark.parametrize(
    ("channels", "height", "width", "resize"), [(3, 20, 31, None), (1, 20, 31, 28), (3, 60, 40, 28)]
)
def test_the_network_is_given_what_batches_of_the_data_set_have(channels, height, width, resize):
    process = preprocessing(channels, height, width, resize)
    data = drawn(5, channels)
    images = noise(channels, height, width, 5)
    data = type(data)(torch.from_numpy(images), data.labels, data.class_names, resize)
    ((expected, _),) = Batches(data, batch_size=5, mean=process.mean, std=process.std).epoch(0)
    with torch.inference_mode():
        received = deployed(Recording(), process)(torch.from_numpy(images))
    tolerance = {"rtol": 0, "atol": 0} if resize is None else {"rtol": 1e-5, "atol": 2e-5}
    torch.testing.assert_close(received, expected.flatten(1), **tolerance)


def test_images_of_the_size_that_they_are_resized_to_are_left_alone():
    assert deployed(Recording(), preprocessing(resize=28)).rows is None


@pytest.mark.parametrize("merged", [False, True])
def test_the_memory_block_is_exported_as_the_one_matrix_that_it_multiplies_with(merged):
    network = build_model("memory_mlp(hidden=16)", ImageSpec(1, 28, 28, 10)).eval()
    (block,) = (module for module in network.modules() if isinstance(module, MemoryBlock))
    matrix = block.matrix.detach().clone()
    if merged:
        block.merge()
    whole = deployed(network, preprocessing())
    names = [name for name, _ in whole.network.named_parameters() if "weight" in name or "memory" in name]
    assert not any("memory" in name for name in names)
    (folded,) = (module for module in whole.modules() if isinstance(module, MemoryBlock))
    torch.testing.assert_close(folded.matrix, matrix)
    assert block.memory is not None, "the original is as it was"
    assert block.merged is merged
    images = torch.from_numpy(noise(n=3))
    torch.testing.assert_close(run_module(whole)(images.numpy()), logits_of(network, preprocessing(), images.numpy()))


@pytest.fixture(scope="module")
def small():
    """A network behind its preprocessing, its ONNX file and its .pt2 file."""
    network = build_model("lenet", ImageSpec(1, 28, 28, 10)).eval()
    whole = deployed(network, preprocessing())
    program = trace(whole, (1, 28, 28), model="lenet")
    return run_module(whole), to_onnx(program, METADATA), to_torch_export(program, METADATA)


def test_an_onnx_file_says_what_it_takes_and_what_it_is(small):
    import onnx

    model = onnx.load_from_string(small[1])
    onnx.checker.check_model(model, full_check=True)
    (images,), (logits,) = model.graph.input, model.graph.output
    for value, kind, shape in (
        (images, onnx.TensorProto.UINT8, ["n", 1, 28, 28]),
        (logits, onnx.TensorProto.FLOAT, ["n", 10]),
    ):
        tensor = value.type.tensor_type
        assert tensor.elem_type == kind
        assert [side.dim_param or side.dim_value for side in tensor.shape.dim] == shape
    assert (images.name, logits.name) == ("images", "logits")
    assert {entry.key: entry.value for entry in model.metadata_props} == METADATA
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", export_formats.OPSET)]


def test_a_torch_export_file_has_its_metadata_as_extra_files(small, tmp_path):
    path = tmp_path / "net.pt2"
    path.write_bytes(small[2])
    extra = {"convarium": ""}
    with export_formats.quiet():
        torch.export.load(path, extra_files=extra)
    assert json.loads(extra["convarium"]) == json.loads(METADATA["convarium"])


def test_a_file_holds_no_paths_of_the_machine_that_wrote_it(small):
    for content in small[1:]:
        assert b"inference/deployed.py" not in content
        assert b"site-packages" not in content


class ByValue(nn.Module):
    def forward(self, x):
        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)


class OneByOne(nn.Module):
    def forward(self, x):
        return torch.stack([image.flatten() for image in x])


@pytest.mark.parametrize("network", [ByValue(), OneByOne()])
def test_a_network_that_decides_by_its_values_is_refused_in_one_sentence(network):
    with pytest.raises(ConvariumError, match=r"mine:net cannot be exported: torch.export says .*; its forward must"):
        trace(deployed(network, preprocessing()), (1, 28, 28), model="mine:net")


class Unknown(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x).real.flatten(1)


def test_an_operation_that_onnx_has_not_is_refused_with_the_other_format():
    program = trace(deployed(Unknown(), preprocessing()), (1, 28, 28), model="mine:net")
    with pytest.raises(ConvariumError, match=r"cannot be written as ONNX.*use --format torch-export"):
        to_onnx(program, METADATA)


@pytest.mark.parametrize("missing", [["onnxruntime"], ["onnx", "onnxscript", "onnxruntime"]])
def test_without_the_packages_onnx_names_the_way_to_them(missing, monkeypatch):
    found = export_formats.find_spec
    monkeypatch.setattr(export_formats, "find_spec", lambda name: None if name in missing else found(name))
    with pytest.raises(ConvariumError, match=r'not installed; pip install "convarium\[onnx\]"') as refused:
        to_onnx(None, METADATA)
    assert " and ".join(missing) in str(refused.value)


def test_exporting_leaves_warnings_and_loggers_as_they_were(recwarn):
    import logging

    log = logging.getLogger("torch.onnx")
    level = log.level
    with export_formats.quiet():
        assert log.level == logging.CRITICAL
    assert log.level == level
    assert not recwarn.list


def answers(*, off=0.0, swapped=False):
    """A network of three classes, and one whose first logit differs by a share of the largest."""

    def network(images):
        largest = images.reshape(len(images), -1).max(1).astype(np.float32)
        return np.stack([largest, largest - 1e-3, -largest], axis=1)

    def exported(images):
        logits = network(images)
        logits[:, 0] -= off * np.abs(logits).max()
        return logits[:, [1, 0, 2]] if swapped else logits

    return network, exported


def test_agreement_says_how_far_the_two_differ():
    found = check_agreement(*answers(off=5e-5), noise(), name="x")
    assert found.images == IMAGES
    assert found.largest_difference == pytest.approx(5e-5, rel=0.01)
    # The two largest logits lie 1e-3 apart, and the first one sinks by 255 · 5e-5: every image gets another class.
    assert found.other_classes == IMAGES


def test_equal_logits_differ_by_nothing():
    found = check_agreement(*answers(), noise(), name="x")
    assert (found.largest_difference, found.other_classes) == (0.0, 0)


def test_logits_that_should_all_be_zero_may_not_differ():
    with pytest.raises(RunError, match="a logit differs by inf of the largest logit"):
        check_agreement(lambda images: np.zeros((len(images), 3)), answers()[1], noise(), name="x")


def test_a_difference_of_more_than_a_ten_thousandth_is_refused_with_its_figures():
    with pytest.raises(
        RunError, match=r"x does not answer as the network: on 74 images a logit differs by 2\.0e-04 of"
    ):
        check_agreement(*answers(off=2e-4), noise(), name="x")


@pytest.mark.parametrize(
    "exported",
    [
        lambda images: np.full((len(images), 3), np.nan, np.float32),
        lambda images: np.zeros((len(images), 2), np.float32),
    ],
    ids=["nan", "shape"],
)
def test_logits_that_are_none_are_refused(exported):
    with pytest.raises(RunError, match="x does not answer as the network: its logits are not finite or have another"):
        check_agreement(answers()[0], exported, noise(), name="x")


def test_a_network_whose_own_logits_are_not_finite_is_not_exported():
    with pytest.raises(RunError, match="the network's logits are not finite, so there is nothing to export"):
        check_agreement(lambda images: np.full((len(images), 3), np.inf), answers()[1], noise(), name="x")


def test_images_are_compared_in_batches_of_1_2_7_and_more():
    images = noise()
    batches = list(batches_of(images))
    assert [len(batch) for batch in batches] == [1, 2, 7, 32, 32]
    assert np.array_equal(np.concatenate(batches), images)
    assert [len(batch) for batch in batches_of(images[:5])] == [1, 2, 2]


def test_latency_is_that_of_batches_of_1_and_32_in_turns():
    called = []
    contestants = {name: lambda images, name=name: called.append((name, len(images))) for name in "ab"}
    one, many = measure_latency(contestants, noise(n=10))
    assert (one.batch, many.batch) == (1, 32)
    assert called[:4] == [("a", 1), ("b", 1), ("a", 1), ("b", 1)]
    assert {n for _, n in called} == {1, 32}
    assert all(0 <= value < 1000 for value in (*one.milliseconds.values(), *many.milliseconds.values()))

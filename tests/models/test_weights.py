import builtins
import errno
import gzip
import os
import pickle
import subprocess
import zipfile
from argparse import Namespace
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from tutorial5 import PRESETS, layout, save_checkpoint, tensors

from convarium.errors import WeightsError
from convarium.models.build import build_model
from convarium.models.weight_files import read_weight_file
from convarium.models.weights import load_weights, not_finite, set_weights
from convarium.records import ImageSpec

CIFAR10 = ImageSpec(3, 32, 32, 10)
DIGITS = ImageSpec(1, 28, 28, 10)


def small_network(seed: int = 0) -> nn.Module:
    return build_model("resnet(depth=8)", DIGITS, seed=seed)


def same(a: nn.Module, b: nn.Module) -> bool:
    own, other = a.state_dict(), b.state_dict()
    return own.keys() == other.keys() and all(torch.equal(own[k], other[k]) for k in own)


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pth", ".ckpt"])
def test_weights_come_back_as_they_were(tmp_path, ending):
    network = small_network(seed=1)
    path = tmp_path / f"weights{ending}"
    if ending == ".safetensors":
        safetensors.torch.save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path)
    assert same(load_weights(path, "resnet(depth=8)", DIGITS), network)


def test_the_old_format_of_pytorch_is_read(tmp_path):
    network = small_network(seed=1)
    torch.save(network.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(load_weights(tmp_path / "old.pth", "resnet(depth=8)", DIGITS), network)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("zipped", [True, False])
def test_published_checkpoints_fit_tensor_for_tensor(tmp_path, monkeypatch, name, zipped):
    values = tensors(name)
    save_checkpoint(tmp_path / "published.ckpt", values, monkeypatch, zipped=zipped)
    network = load_weights(tmp_path / "published.ckpt", PRESETS[name], CIFAR10)
    own = network.state_dict()
    assert len(own) == len(values) == len(layout(name))
    assert all(torch.equal(a, b) for a, b in zip(own.values(), _in_our_order(name, values, own), strict=True))


def _in_our_order(name, values, own):
    # PyTorch lists a block's tensors in the order in which its modules were assigned, which is the tutorial's too
    assert [tuple(v.shape) for v in own.values()] == [tuple(v.shape) for v in values.values()]
    return values.values()


@pytest.mark.parametrize(
    "module",
    [
        "pytorch_lightning.utilities.parsing",
        "lightning.pytorch.utilities.parsing",
        "lightning_fabric.utilities.data",
        "lightning.fabric.utilities.data",
    ],
)
def test_lightning_of_any_age_is_read(tmp_path, monkeypatch, module):
    values = tensors("ResNet")
    save_checkpoint(tmp_path / "published.ckpt", values, monkeypatch, module=module)
    [tensors_in_file] = read_weight_file(tmp_path / "published.ckpt").state_dicts.values()
    assert len(tensors_in_file) == len(values)


def test_reading_leaves_no_class_allowed_behind(tmp_path, monkeypatch):
    before = set(torch.serialization.get_safe_globals())
    save_checkpoint(tmp_path / "published.ckpt", tensors("ResNet"), monkeypatch)
    read_weight_file(tmp_path / "published.ckpt")
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("names", [("input_net", "output_net"), ("model", "blocks")])
def test_a_users_network_keeps_names_that_are_anothers_convention(tmp_path, monkeypatch, names):
    """Who has typed the tutorial's network reads the weights of that, plain, checkpointed, or out of Lightning."""
    first, last = names
    (tmp_path / f"typed_{first}.py").write_text(
        f"""
from torch import nn

class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.{first} = nn.Sequential(nn.Flatten(), nn.Linear(spec.height * spec.width, 4))
        self.{last} = nn.Linear(4, spec.classes)

    def forward(self, x):
        return self.{last}(self.{first}(x))
"""
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    model = f"typed_{first}:Net"
    network = build_model(model, DIGITS, seed=1)
    state = network.state_dict()
    safetensors.torch.save_file(state, tmp_path / "saved.safetensors")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "checkpoint.pt")
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}}, tmp_path / "lightning.ckpt")
    for file in ("saved.safetensors", "checkpoint.pt", "lightning.ckpt"):
        assert same(load_weights(tmp_path / file, model, DIGITS), network)


@pytest.mark.parametrize("prefix", ["", "model."])
def test_the_tutorials_names_are_known_in_any_file(tmp_path, monkeypatch, prefix):
    values = tensors("ResNet")
    save_checkpoint(tmp_path / "published.ckpt", values, monkeypatch)
    safetensors.torch.save_file({prefix + k: v for k, v in values.items()}, tmp_path / "converted.safetensors")
    published, converted = (
        load_weights(tmp_path / file, "resnet@uva", CIFAR10) for file in ("published.ckpt", "converted.safetensors")
    )
    assert same(published, converted)


def test_two_tensors_that_would_get_one_name_are_refused(tmp_path):
    """The tutorial's name of a tensor, and Convarium's own."""
    twice = {"blocks.0.net.0.weight": torch.zeros(1), "blocks.0.residual.0.weight": torch.zeros(1)}
    torch.save({"state_dict": {"input_net.0.weight": torch.zeros(1), **twice}}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w\.pt does not fit .*two of its tensors are the same one here"):
        load_weights(tmp_path / "w.pt", "resnet(depth=8)", DIGITS)


def test_whole_numbers_are_no_weights(tmp_path):
    values = small_network().state_dict()
    values["stem.0.weight"] = torch.zeros(values["stem.0.weight"].shape, dtype=torch.int8)
    torch.save(values, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"1 of whole numbers \(stem\.0\.weight torch\.int8\)"):
        load_weights(tmp_path / "w.pt", "resnet(depth=8)", DIGITS)


def test_what_does_not_fit_is_named_in_one_error(tmp_path):
    network = small_network()
    values = network.state_dict()
    for i in range(5):
        values[f"odd.{i}"] = torch.zeros(1)
    del values["stem.0.weight"]
    values["head.2.weight"] = torch.zeros(3, 64)
    torch.save(values, tmp_path / "w.pt")
    with pytest.raises(WeightsError) as caught:
        load_weights(tmp_path / "w.pt", "resnet(depth=8)", DIGITS)
    message = str(caught.value)
    assert "w.pt does not fit resnet(depth=8)" in message
    assert "1 missing (stem.0.weight)" in message
    assert "5 unknown (odd.0, odd.1, odd.2, …)" in message
    assert "1 of another shape (head.2.weight (3, 64) for (10, 64))" in message


def test_weights_that_do_not_fit_change_nothing():
    network, other = small_network(seed=1), small_network(seed=2)
    values = other.state_dict()
    del values["head.2.bias"]
    with pytest.raises(WeightsError, match="1 missing"):
        set_weights(network, values)
    assert same(network, small_network(seed=1))


def test_one_networks_checkpoint_in_another_network(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "published.ckpt", tensors("ResNet"), monkeypatch)
    with pytest.raises(WeightsError, match="does not fit densenet@uva"):
        load_weights(tmp_path / "published.ckpt", "densenet@uva", CIFAR10)


class Command:
    """A pickle that calls `function(*arguments)` when it is loaded the ordinary way."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def commands(marker: Path) -> list[Command]:
    shell = f"touch {marker}"
    return [
        Command(os.system, shell),
        Command(subprocess.check_call, ["touch", str(marker)]),
        Command(builtins.eval, f"__import__('os').system({shell!r})"),
        Command(builtins.exec, f"open({str(marker)!r}, 'w')"),
        Command(builtins.open, str(marker), "w"),
        Command(builtins.getattr, Command(__import__, "os"), "system"),
    ]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("where", ["alone", "among the weights", "in the hyper-parameters", "as a bare pickle"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_a_command_is_refused_unrun(tmp_path, number, where, zipped):
    marker, path = tmp_path / "marker", tmp_path / "weights.pt"
    command = commands(marker)[number]
    weights = {"stem.0.weight": torch.zeros(16, 1, 3, 3)}
    content = {
        "alone": command,
        "among the weights": {**weights, "x": command},
        "in the hyper-parameters": {"state_dict": weights, "hyper_parameters": {"act_fn": command}},
        "as a bare pickle": command,
    }[where]
    if where == "as a bare pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"which is code and not weights; nothing of it was run|damaged"):
        read_weight_file(path)
    assert not marker.exists()


def test_a_refused_file_names_what_it_would_have_called(tmp_path):
    torch.save(Command(os.system, "true"), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=rf"names {os.system.__module__}\.system, which is code"):
        read_weight_file(tmp_path / "w.pt")


def test_a_whole_pickled_network_is_refused_with_the_way_out(tmp_path):
    torch.save(small_network(), tmp_path / "network.pt")
    with pytest.raises(WeightsError, match=r"names torch\.nn\..*save network\.state_dict\(\)"):
        read_weight_file(tmp_path / "network.pt")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, kept, zipped):
    path = tmp_path / "w.pt"
    torch.save(small_network().state_dict(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(WeightsError, match="is damaged or no PyTorch file; download or save it again"):
        read_weight_file(path)


def test_a_truncated_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(small_network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        read_weight_file(path)


@given(content=st.binary(min_size=1, max_size=300), ending=st.sampled_from([".safetensors", ".pt", ".pth", ".ckpt"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_at_all_are_refused(tmp_path, content, ending):
    path = tmp_path / f"w{ending}"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        read_weight_file(path)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "empty.pt").touch()
    (tmp_path / "w.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "w.pt.gz").write_bytes(gzip.compress(b"weights"))
    np.save(tmp_path / "w.npy", np.zeros(3))
    for name, complaint in {
        "folder.pt": "a folder, not a file",
        "empty.pt": "is empty",
        "absent.pt": "is not there",
        "w.h5": "is an HDF5 file, as Keras writes it; convert it to safetensors",
        "w.pt.gz": "is compressed by gzip; unpack it: gunzip",
        "w.npy": "is an array of NumPy; save the weights by name as safetensors",
    }.items():
        with pytest.raises(WeightsError, match=complaint):
            read_weight_file(tmp_path / name)


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (LFS_POINTER, "is a pointer of Git LFS, not the weights; get them: git lfs pull"),
        (b"\n <!DOCTYPE html>\n<html><title>Not found</title>", "is a web page that was saved under this name"),
        (b"<html>", "is a web page"),
    ],
)
def test_what_a_failed_download_leaves_is_called_what_it_is(tmp_path, ending, content, complaint):
    (tmp_path / f"w{ending}").write_bytes(content)
    with pytest.raises(WeightsError, match=complaint):
        read_weight_file(tmp_path / f"w{ending}")


def test_a_torchscript_program_is_called_what_it_is_and_not_run(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:  # the parts that torch.jit.save writes
        for name in ("w/data.pkl", "w/code/__torch__/lenet.py", "w/constants.pkl", "w/version"):
            archive.writestr(name, b"3\n")
    with pytest.raises(WeightsError, match=r"TorchScript program, .* nothing of it was run; .* save torch\.jit\.load"):
        read_weight_file(tmp_path / "w.pt")


@pytest.mark.parametrize("ending", ["", ".pth.tar", ".bin", ".safetensors", ".pt", ".weights.best"])
def test_the_content_of_a_file_decides_how_it_is_read_and_not_its_ending(tmp_path, ending):
    network = small_network(seed=1)
    torch.save(network.state_dict(), tmp_path / f"pickled{ending}")
    torch.save(network.state_dict(), tmp_path / f"old{ending}", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(network.state_dict(), tmp_path / f"plain{ending}")
    for name in ("pickled", "old", "plain"):
        assert same(load_weights(tmp_path / f"{name}{ending}", "resnet(depth=8)", DIGITS), network)


PREFIXES = ["module.", "_orig_mod.", "model.", "module._orig_mod.", "encoder.net.", "stem."]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("mapping", [None, "net", "model", "state_dict", "model_state_dict", "ema", "the best, so far"])
def test_a_checkpoint_is_read_whatever_it_calls_its_weights(tmp_path, prefix, mapping):
    """Under a prefix that all share, at the top or in a mapping, with what a training loop stores beside them."""
    network = small_network(seed=1)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(2, 1, 28, 28)).sum().backward()
    optimizer.step()
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    beside = {
        "epoch": 3,
        "best": np.float64(0.93),
        "scores": np.arange(6.0).reshape(2, 3),
        "improved": np.bool_(True),
        "optimizer": optimizer.state_dict(),
        "args": Namespace(lr=0.1, out=Path("runs"), more=SimpleNamespace(depth=8)),
        "version": torch.__version__,
        "begun": datetime(2020, 2, 2, tzinfo=UTC),
        "meters": defaultdict(float, loss=0.1),
        "kept": frozenset({"loss"}),
    }
    beside |= {} if mapping is None else {"rng_state": torch.get_rng_state()}
    torch.save({**beside, **({mapping: state} if mapping else state)}, tmp_path / "w.pth.tar")
    assert same(load_weights(tmp_path / "w.pth.tar", "resnet(depth=8)", DIGITS), network)


def test_of_several_state_dicts_that_fit_one_is_asked_for(tmp_path):
    networks = {name: small_network(seed=seed) for seed, name in enumerate(("model", "ema"))}
    other = build_model("lenet", DIGITS).state_dict()
    path = tmp_path / "w.pt"
    torch.save({**{name: network.state_dict() for name, network in networks.items()}, "teacher": other}, path)
    with pytest.raises(WeightsError, match=r"2 state dicts that fit resnet.*: model and ema; say which: .*w\.pt:model"):
        load_weights(path, "resnet(depth=8)", DIGITS)
    for name, network in networks.items():
        assert same(load_weights(f"{path}:{name}", "resnet(depth=8)", DIGITS), network)
    with pytest.raises(WeightsError, match=r"w\.pt:teacher does not fit residual_cnn: 10 missing .*; 6 unknown"):
        load_weights(path, "residual_cnn", DIGITS)
    assert len(load_weights(path, "lenet", DIGITS).state_dict()) == len(other)  # the only one of its kind
    with pytest.raises(WeightsError, match=r"holds no state dict 'emma': expected model, ema, teacher"):
        load_weights(f"{path}:emma", "resnet(depth=8)", DIGITS)


def test_files_from_before_batch_norm_counted_its_batches_are_read(tmp_path):
    network = small_network(seed=1)
    torch.save({n: t for n, t in network.state_dict().items() if "num_batches" not in n}, tmp_path / "w.pt")
    assert same(load_weights(tmp_path / "w.pt", "resnet(depth=8)", DIGITS), network)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_passed_over_hides_no_code(tmp_path, zipped):
    """An array of objects, a parsed argument and a number, each with a command inside."""
    for number, command in enumerate(commands(tmp_path / "marker")):
        hiding = defaultdict(list, x=command), frozenset([command])
        for hidden in (np.array([command], dtype=object), Namespace(x=command), [np.float64(1), command], *hiding):
            content = {"state_dict": small_network().state_dict(), "beside": hidden}
            torch.save(content, tmp_path / f"{number}.pt", _use_new_zipfile_serialization=zipped)
            with pytest.raises(WeightsError, match=r"which is code and not weights; nothing of it was run|damaged"):
                read_weight_file(tmp_path / f"{number}.pt")
    assert not (tmp_path / "marker").exists()


def test_a_name_that_is_passed_over_never_reaches_what_it_names(tmp_path):
    """NumPy's type of floats is shared by the whole process, and its state could be set."""
    order = np.dtype("f8").byteorder
    changed = Command(np.dtype, "f8")
    changed.__class__.__reduce__ = lambda self: (np.dtype, ("f8",), (3, ">", None, None, None, -1, -1, 0))
    try:
        torch.save({"state_dict": small_network().state_dict(), "x": changed}, tmp_path / "w.pt")
    finally:
        Command.__reduce__ = lambda self: (self.function, self.arguments)
    read_weight_file(tmp_path / "w.pt")
    assert np.dtype("f8").byteorder == order


def test_weights_that_are_no_finite_numbers_are_counted():
    state = small_network().state_dict()
    assert not_finite(state) is None
    state["stem.0.weight"][0, 0, 0, 0] = float("nan")
    total = sum(tensor.numel() for tensor in state.values())
    assert not_finite(state) == f"1 of the {total:,} weights is not finite, the first in stem.0.weight"
    state["head.2.bias"].fill_(float("inf"))
    assert not_finite(state) == f"11 of the {total:,} weights are not finite, the first in stem.0.weight"


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_unread(tmp_path):
    torch.save({"a": torch.zeros(2**22)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "w.pt", "w", 8) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    assert (tmp_path / "w.pt").stat().st_size < 2**17
    with pytest.raises(WeightsError, match=r"has 1\d,\d+ bytes and would unpack to 16,777,\d+"):
        read_weight_file(tmp_path / "w.pt")


def test_a_pipe_and_what_may_not_be_read_are_told(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="is a device or a pipe, not a file"):
        read_weight_file(tmp_path / "w.pt")

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(WeightsError, match="cannot be read: Permission denied; check its permissions"):
        read_weight_file(tmp_path / "v.pt")


@pytest.mark.parametrize(
    "content",
    [
        {},
        [torch.zeros(1)],
        {"epoch": 3},
        {"state_dict": {"a": 1.0}},
        {"state_dict": [torch.zeros(1)]},
        {1: torch.zeros(1)},
        {"a": torch.zeros(2, dtype=torch.complex64)},
        {"a": torch.zeros(2, 2).to_sparse()},
        {"a": torch.zeros(2, device="meta")},
    ],
)
def test_a_file_without_a_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_weight_file(tmp_path / "w.pt")


def test_half_precision_weights_are_read_into_full_precision(tmp_path):
    values = {k: v.half() if v.is_floating_point() else v for k, v in small_network(seed=1).state_dict().items()}
    safetensors.torch.save_file(values, tmp_path / "half.safetensors")
    network = load_weights(tmp_path / "half.safetensors", "resnet(depth=8)", DIGITS)
    assert {p.dtype for p in network.parameters()} == {torch.float32}

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import pytest
import torch

from convarium.recipes.recipe import Recipe
from convarium.records import Environment, Epoch, Outcome
from convarium.runs import environment
from convarium.runs.json_forms import outcome_from_json, outcome_to_json
from convarium.runs.stored_run import StoredRun


def test_the_environment_says_where():
    here = environment.environment("cpu", stack=("a", "b"))
    assert here.convarium == metadata.version("convarium")
    assert here.torch == torch.__version__
    assert here.device == "cpu"
    assert here.threads == torch.get_num_threads()
    assert here.stack == ("a", "b")
    assert here.processor
    started = datetime.fromisoformat(here.started)
    assert timedelta(0) <= datetime.now(UTC) - started < timedelta(minutes=1)


@pytest.mark.parametrize("has", [True, False])
def test_bfloat16_is_emulated_where_there_are_no_instructions_for_it(has, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has)
    assert environment.emulates_bfloat16(torch.device("cpu")) is not has
    assert not environment.emulates_bfloat16(torch.device("cuda"))


@pytest.mark.parametrize("has", [True, False])
def test_float16_is_emulated_where_there_are_no_instructions_for_it(has, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: has)
    assert environment.emulates_float16(torch.device("cpu")) is not has
    assert not environment.emulates_float16(torch.device("cuda"))


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_before_compute_capability_8_has_no_bfloat16(has, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has or including_emulation)
    assert environment.emulates_bfloat16(torch.device("cuda")) is not has


@pytest.mark.skipif(platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(), reason="reads x86's flags")
def test_the_processors_instructions_decide_on_bfloat16():
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert environment.emulates_bfloat16(torch.device("cpu")) is not ({"avx512bw", "avx512vl", "avx512dq"} <= flags)


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    variables = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, env=variables)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository in which a file stands for this package's source."""
    source = tmp_path / "environment.py"
    source.write_text("one\n")
    git(tmp_path, "init", "-q")
    monkeypatch.setattr(environment, "__file__", str(source))
    environment.commit.cache_clear()
    yield tmp_path
    environment.commit.cache_clear()


def test_the_commit_is_that_of_the_checkout(checkout):
    assert environment.commit() is None  # a file inside a repository, but not of it: an installed package
    git(checkout, "add", "environment.py")
    git(checkout, "commit", "-qm", "one")
    environment.commit.cache_clear()
    clean = environment.commit()
    assert clean is not None
    assert len(clean) == 40
    Path(checkout, "environment.py").write_text("two\n", encoding="utf-8")
    environment.commit.cache_clear()
    assert environment.commit() == f"{clean}-dirty"


def test_records_and_pages_that_a_measurement_wrote_are_no_other_code(checkout):
    for folder in ("docs", "results"):
        (checkout / folder).mkdir()
        (checkout / folder / "play").write_text("none yet")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "one")
    environment.commit.cache_clear()
    clean = environment.commit()
    for folder in ("docs", "results"):
        (checkout / folder / "play").write_text("measured")
    environment.commit.cache_clear()
    assert environment.commit() == clean
    Path(checkout, "environment.py").write_text("two\n", encoding="utf-8")
    environment.commit.cache_clear()
    assert environment.commit() == f"{clean}-dirty"


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment.commit() is None


def test_peak_memory_holds_what_was_allocated():
    before = environment.peak_memory_bytes("cpu")
    assert before > 50e6  # an interpreter with PyTorch in it
    block = torch.ones(64 * 2**20, dtype=torch.uint8)
    grown = environment.peak_memory_bytes("cpu")
    assert grown >= before
    assert grown >= block.nbytes
    del block
    assert environment.peak_memory_bytes("cpu") >= grown * 0.99  # a peak, not the present


def test_peak_memory_without_proc_is_of_the_same_size(monkeypatch):
    from_proc = environment.peak_memory_bytes("cpu")
    monkeypatch.setattr(environment, "_proc_field", lambda file, name: None)
    assert environment.peak_memory_bytes("cpu") == pytest.approx(from_proc, rel=0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_peak_memory_of_a_cuda_device_is_what_was_allocated():
    block = torch.ones(64 * 2**20, dtype=torch.uint8, device="cuda")
    assert environment.peak_memory_bytes("cuda") >= block.nbytes
    assert environment.environment("cuda").device.startswith("cuda: ")


def test_kernels_that_an_old_record_does_not_name_are_unknown():
    values = outcome_to_json(Outcome("finished", (), environment.environment("cpu")))
    assert outcome_from_json(values, ()).environment.kernels is not None
    del values["environment"]["kernels"]
    assert outcome_from_json(values, ()).environment.kernels is None


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A folder that stands for this package's source."""
    for name in ("runs", "training", "kernels", "pages"):
        (tmp_path / name).mkdir()
    (tmp_path / "training" / "loop.py").write_bytes(b"one\ntwo\n")
    (tmp_path / "kernels" / "norms.c").write_bytes(b"three\n")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "runs" / "environment.py"))
    environment.code_digest.cache_clear()
    yield tmp_path
    environment.code_digest.cache_clear()


@pytest.mark.parametrize(
    ("file", "content", "changes"),
    [
        ("training/loop.py", b"one\r\ntwo\r\n", False),
        ("pages/page.py", b"new", False),
        ("training/notes.txt", b"new", False),
        ("training/loop.py", b"two\none\n", True),
        ("kernels/norms.c", b"four\n", True),
        ("training/other.py", b"", True),
        ("seeding.py", b"five\n", True),
    ],
)
def test_the_digest_of_the_code_changes_with_what_decides_a_runs_numbers(sources, file, content, changes):
    before = environment.code_digest()
    (sources / file).write_bytes(content)
    environment.code_digest.cache_clear()
    assert (environment.code_digest() != before) is changes


def test_without_sources_there_is_no_digest_of_the_code(sources):
    for file in ("training/loop.py", "kernels/norms.c"):
        (sources / file).unlink()
    assert environment.code_digest() is None


HERE = Environment(
    "0.1", "3.11", "2.9", "Linux", "EPYC", "cpu", 1, started="now", commit="a", kernels="convarium 1", code="b"
)


@pytest.mark.parametrize(
    ("fields", "phrases"),
    [
        ({}, ()),
        ({"started": "later", "commit": "another", "convarium": "9.9", "python": "3.99", "platform": "BeOS"}, ()),
        ({"threads": 8}, (f"threads {HERE.threads}, then 8",)),
        ({"threads": 2 * HERE.threads, "stack": ("a", "b")}, ()),
        ({"threads": 4 * HERE.threads, "stack": ("a", "b")}, (f"threads {HERE.threads}, then {2 * HERE.threads}",)),
        ({"code": None, "torch": "9"}, (f"Convarium's code {HERE.code}, then unknown", f"torch {HERE.torch}, then 9")),
        ({"kernels": "other"}, (f"kernels {HERE.kernels}, then other",)),
        ({"processor": "Z80", "device": "cuda"}, (f"processor {HERE.processor}, then Z80", "device cpu, then cuda")),
    ],
    ids=str,
)
def test_what_moves_the_last_bits_is_named(fields, phrases):
    there = dataclasses.replace(HERE, **fields)
    assert environment.environment_changes([HERE, there]) == phrases
    assert environment.environment_changes([HERE, there, there]) == phrases


def test_a_mixed_run_is_stored_with_its_environments(tmp_path):
    earlier = (
        dataclasses.replace(HERE, threads=8),
        dataclasses.replace(HERE, stack=("a", "b"), threads=2 * HERE.threads),
    )
    row = Epoch(1, 1, 0.1, 2.0, 0.5, None, None, None, None, 1.0)
    outcome = Outcome("diverged", (row,), HERE, message="the loss was not finite", earlier=earlier)
    assert outcome_from_json(json.loads(json.dumps(outcome_to_json(outcome))), outcome.history) == outcome
    mixed = StoredRun("k", tmp_path, Recipe(), outcome)
    assert mixed.is_mixed
    assert mixed.mixed_reason == f"threads 8, then {HERE.threads}"
    whole = StoredRun("k", tmp_path, Recipe(), dataclasses.replace(outcome, earlier=()))
    assert not whole.is_mixed
    assert whole.mixed_reason is None
    assert "earlier" not in outcome_to_json(whole.outcome)


def test_processors_of_one_name_are_told_apart_by_model_and_instruction_sets(monkeypatch):
    flags = "fpu smep sse4_2 ssse3 fma avx avx2 sha_ni avx512_bf16"
    told = {"cpu family": "26", "model": "2", "stepping": "1", "flags": flags}
    arm = {"CPU implementer": "0x41", "CPU part": "0xd0c", "Features": "fp asimd aes sve i8mm"}
    expected = {
        ("family 26, model 2, stepping 1", "sse4_2 ssse3 fma avx avx2 avx512_bf16"): told,
        ("implementer 0x41, part 0xd0c", "asimd sve i8mm"): arm,
        (None, None): {},
    }
    monkeypatch.setattr(environment.sys, "platform", "linux")
    for known, fields in expected.items():
        monkeypatch.setattr(environment, "_proc_field", lambda file, name, fields=fields: fields.get(name))
        found = (environment.processor_model.__wrapped__(), environment.instruction_sets.__wrapped__())
        assert found == known


def test_a_run_that_went_on_on_another_model_of_one_name_is_mixed():
    one, other = (dataclasses.replace(HERE, processor_model=f"family 26, model {model}") for model in (1, 2))
    assert environment.environment_changes([one, other]) == (
        "processor model family 26, model 1, then family 26, model 2",
    )

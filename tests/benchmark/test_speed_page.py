"""The records of speed and the page that they make."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from convarium.analysis.statistics import equivalence
from convarium.benchmark import Accuracies, BenchRow, ColdStart, FirstLosses, record, write_page
from convarium.benchmark.machine import Ceiling
from convarium.benchmark.speed_page import MARKER, render
from convarium.benchmark.speed_records import instruction_set, machine_of, read_records, slug
from convarium.errors import ConvariumError
from made_runs import HERE

ROOT = Path(__file__).parents[2]
WHERE = dataclasses.replace(HERE, processor="Some(R) CPU @ 2.10GHz", commit="a" * 40, started="2026-11-27T10:00:00")


def row(
    job="lenet@d2l", precision="float32", reference=(100.0, 110.0, 90.0), convarium=(200.0, 330.0, 360.0), **fields
):
    ratios = tuple(ours / theirs for ours, theirs in zip(convarium, reference, strict=True))
    made = BenchRow(
        job, precision, 1, 256, 2.0, reference, convarium, ratios, None, None, 0.25, Ceiling(1e12, 2e12, 1e10), WHERE
    )
    return dataclasses.replace(made, **fields)


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.setattr("convarium.benchmark.speed_records.instruction_set", lambda: "AVX2")


def test_the_page_in_the_repository_is_the_one_that_its_records_make():
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    assert text == render(text, read_records(ROOT / "results" / "speed"))


def test_every_turn_is_recorded(tmp_path):
    path = record([row(), row(precision="bfloat16")], tmp_path / "speed")
    assert path.name == "some-avx2.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["machine"] == {"processor": WHERE.processor, "instructions": "AVX2"}
    first, second = content["timings"]
    assert (first["precision"], second["precision"]) == ("float32", "bfloat16")
    assert first["reference"] == {"median": 100.0, "turns": [100.0, 110.0, 90.0]}
    assert first["convarium"]["turns"] == [200.0, 330.0, 360.0]
    assert first["ratio"] == {"median": 3.0, "lowest": 2.0, "highest": 4.0}
    assert (first["pairs"], first["threads"], first["date"], first["commit"]) == (3, 2, "2026-11-27", "a" * 40)
    assert first["peak"]["bandwidth"] == 1e10


def test_a_new_timing_replaces_the_old_one_of_its_job_and_no_other(tmp_path):
    record([row(), row("resnet@uva")], tmp_path)
    path = record([row(share=0.5)], tmp_path)
    timings = json.loads(path.read_text(encoding="utf-8"))["timings"]
    assert [(timing["job"], timing["share"]) for timing in timings] == [("lenet@d2l", 0.5), ("resnet@uva", 0.25)]


def test_accuracies_first_losses_and_cold_starts_are_recorded_beside_the_timings(tmp_path):
    ours, theirs = (0.90, 0.91, 0.92), (0.90, 0.91, 0.915)
    same = equivalence(ours, theirs, 0.01, paired=False)
    made = row()
    path = record(
        [made],
        tmp_path,
        cold={made: ColdStart("lenet@d2l", "float32", 10, 60_000, 3.0, 40.0, 45.0, 0.9, WHERE)},
        accuracies=[Accuracies("lenet@d2l", "float32", 1, 60_000, theirs, ours, same, "a sentence")],
        first_losses=[FirstLosses("alexnet@d2l", "bfloat16", (1.0,) * 20, (1.0,) * 20, 1e-5, True, "a sentence")],
    )
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["timings"][0]["cold"]["total"] == 45.0
    (accuracy,), (losses,) = content["accuracies"], content["first_losses"]
    assert (accuracy["dataset"], accuracy["low"], accuracy["verdict"]) == ("fashion_mnist", same.low, "undecided")
    assert accuracy["means"] == [pytest.approx(0.91), pytest.approx(0.9083333)]
    assert (losses["steps"], losses["apart"], losses["commit"]) == (20, 1e-5, "a" * 40)
    page = render(f"above\n{MARKER}", [content])
    assert "### float32 minus the reference" in page
    assert "| `lenet@d2l` | fashion_mnist, 60,000 images, 1 epoch | 3 | " in page
    assert " | 1 | undecided | " in page
    assert "| alexnet@d2l | bfloat16 | 20 | 1.0e-05 | 0.0078 | Some(R) CPU @ 2.10GHz, AVX2, aaaaaaaaaaaa |" in page


def test_failed_trainings_are_recorded_without_a_mean(tmp_path):
    failed = Accuracies("lenet@d2l", "float32", 1, 9, (0.9, None), (None, 0.9), None, "1 of 2 runs of lenet failed; …")
    path = record([row()], tmp_path, accuracies=[failed])
    (entry,) = json.loads(path.read_text(encoding="utf-8"))["accuracies"]
    assert (entry["means"], entry["margin"], entry["verdict"]) == (None, None, "undecided")
    assert entry["note"].startswith("1 of 2 runs")
    assert entry["accuracies"] == [[None, 0.9], [0.9, None]]


def test_the_page_keeps_its_text_and_marks_rows_of_another_commit(tmp_path):
    other = dataclasses.replace(WHERE, commit="b" * 40)
    record([row(), row("resnet@uva"), row("nin@d2l", environment=other)], tmp_path / "records")
    page = tmp_path / "speed.md"
    page.write_text(f"# By hand\n\n{MARKER}\n\nold tables\n", encoding="utf-8")
    assert write_page(page, tmp_path / "records") == page
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# By hand\n\n{MARKER}\n\n## Figures\n\n### Some(R) CPU @ 2.10GHz, AVX2\n\n")
    assert "old tables" not in text
    assert "commit aaaaaaaaaaaa, 2026-11-27, turns of 2 s. Rows with *: commit bbbbbbbbbbbb.\n" in text
    assert "| lenet@d2l | float32 | 256 | 100 | 330 | 3.0 (2.0 to 4.0, 3 pairs) | 25% |" in text
    assert "| nin@d2l * | float32 |" in text
    write_page(page, tmp_path / "records")
    assert page.read_text(encoding="utf-8") == text


def test_what_cannot_be_recorded_or_drawn_is_refused(tmp_path):
    with pytest.raises(ConvariumError, match="no timings to record; name at least one job"):
        record([], tmp_path)
    with pytest.raises(ConvariumError, match="no line below which its tables belong"):
        render("# A page", [])
    for content in (b"{}", b"[" * 200_000, b"\xff", b"null"):
        (tmp_path / "broken.json").write_bytes(content)
        with pytest.raises(ConvariumError, match=r"broken.json is not a record of speed.*restore or remove it"):
            read_records(tmp_path)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("avx2 avx512f amx_tile amx_bf16", "AMX"), ("avx2 avx512f avx512_bf16", "AVX512-bf16"), ("fma avx2", "AVX2")],
)
def test_a_machine_is_named_by_its_processor_and_instruction_set(tmp_path, flags, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: x\nflags\t\t: fpu {flags}\n", encoding="utf-8")
    assert instruction_set(cpuinfo) == expected
    assert instruction_set(tmp_path / "nowhere")
    assert slug({"processor": "Intel(R) Xeon(R) Processor @ 2.10GHz", "instructions": "AMX"}) == "intel-xeon-amx"
    assert slug({"processor": "AMD EPYC", "instructions": "AVX512-bf16"}) == "amd-epyc-avx512-bf16"


@pytest.mark.parametrize(
    ("device", "name", "instructions"),
    [("cuda: NVIDIA T4", "NVIDIA T4", "CUDA"), ("mps: Apple M2", "Apple M2", "Metal")],
)
def test_a_gpu_is_a_machine_of_its_own(device, name, instructions):
    made = row(environment=dataclasses.replace(WHERE, device=device))
    assert machine_of(made) == {"processor": name, "instructions": instructions}


def test_the_page_has_a_table_for_each_pair_of_trainings_with_its_notes_below(tmp_path):
    ours, theirs = (0.90, 0.91, 0.92), (0.90, 0.91, 0.915)
    same = equivalence(ours, theirs, 0.01, paired=False)
    records = []
    for number, note in enumerate(("a sentence", "another one")):
        made = Accuracies("lenet@d2l", "float32", 1, 60_000, theirs, ours, same, "a verdict")
        path = record([row()], tmp_path / str(number), accuracies=[made])
        records.append(json.loads(path.read_text(encoding="utf-8")))
        records[-1]["accuracies"][0]["note"] = note
    (table,) = re.findall(r"^### .* minus .*?(?=^#|\Z)", render(MARKER, records), re.MULTILINE | re.DOTALL)
    notes = re.findall(r"^(\S+) (A sentence|Another one)\.$", table, re.MULTILINE)
    assert [note for _, note in notes] == ["A sentence", "Another one"]
    assert all(f" undecided {mark} | " in table for mark, _ in notes)

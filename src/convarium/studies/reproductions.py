"""The measured records that come with Convarium, results/, and the page that is generated from them.

Nothing in docs/reproductions.md is typed.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from convarium.analysis.claims import OUTCOMES, assumptions, measured, published, sentence, source_tag
from convarium.analysis.comparison import formatting, hardware_label
from convarium.errors import ConvariumError
from convarium.runs.archive import RECORDS, add_records, read_records
from convarium.runs.store import Store, StoredRun
from convarium.runs.study_record import write_study
from convarium.runs.timings import read_timings, write_timing
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.catalogue import NOT_RUN, Finding, catalogue, findings
from convarium.studies.costs import Rate, Rates, describe_rates, recorded_rates
from convarium.studies.finding_cells import cost_cell, rates_behind, runs_cell
from convarium.studies.not_asked import NOT_ASKED

SOURCES = {
    "memory-blog": "新的网络结构超越残差网络:记忆网络与残差网络的对比实践 (2024)",
    "residual-blog": "【Pytorch】残差神经网络(Residual Networks)",
    "d2l": "d2l.ai, and 一些经典的神经网络(第19天) (2024) after it",
    "mnist-report": "a course report on ResNet for MNIST",
    "uva": "UvA Deep Learning tutorial 5, by the sections of 【深度学习】PyTorch框架(4) after it",
    "he2015": "He et al. 2015, arXiv 1512.03385",
    "he2016": "He et al. 2016, arXiv 1603.05027: its tables are of depth 110, asked here at depth 20",
    "github.com/nabla0001/resnet": "github.com/nabla0001/resnet",
}
"""The sources by the tag that a claim's citation begins with."""

_HEAD = """# Published results, measured

Each row is a claim that a source makes, judged by `convarium reproduce` as [method.md](method.md) says. This page is
generated from the records in `results/` by `convarium reproduce --page`; nothing in it is typed. A row that is *not run
yet* has no record. Measured values are means over seeds with 95 % intervals; n counts the trained runs, or the pairs of
turns of a claim of speed; the cost is the training time of all that is behind the row, or what the missing runs would
take at recorded rates, listed at the end. What the first five sources claim besides, and why it is not asked, stands
below their tables. When rules of judging changed, every stored verdict was judged anew:
[log.md](log.md) says which changed and why.
"""


def record_study(name: str, store: Store, results: Store) -> int:
    """Adds a study and the records of its finished runs to a folder of records.

    Recipe, history and outcome of each run are recorded, without weights and predictions: enough for every comparison
    and verdict. A record that the folder already has is replaced; one that the store does not have remains.

    Args:
        name: the study's name.
        store: the store that holds the study.
        results: the folder of records; it is made if it does not exist.

    Returns:
        How many runs of the study the folder holds now.

    Raises:
        StoreError: there is no such study, or one of its runs is damaged.
    """
    record = store.study(name)
    path = results.root / RECORDS
    add_records(path, store.runs_of(record))
    before = results.find_study(name)
    keys = record.keys if before is None else tuple(dict.fromkeys((*before.keys, *record.keys)))
    studies = results.root / "studies"
    studies.mkdir(exist_ok=True)
    write_study(studies / f"{name}.json", dataclasses.replace(record, keys=keys))
    return len(set(keys) & set(read_records(path)))


def results_folder() -> Path:
    """Returns the folder of measured records: the installed package's, or that of the checkout this code runs from."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "results"
    return installed if installed.is_dir() else package.parents[1] / "results"


def checkout_results() -> Path:
    """Returns the folder of measured records that may be written: that of a checkout.

    Raises:
        ConvariumError: Convarium runs from an installed package, whose records stay as they are.
    """
    folder = results_folder()
    if not (folder.parent / "pyproject.toml").is_file():
        raise ConvariumError(
            f"{folder} belongs to an installed package", hint="record results from a checkout of Convarium"
        )
    return folder


def record_builtin_studies(store: Store) -> dict[str, int]:
    """Adds the built-in studies of a store, and their timings in turns, to the measured records in results/.

    Returns:
        How many runs of each study the records hold now.

    Raises:
        ConvariumError: the store has none of the built-in studies, or Convarium is not run from a checkout.
    """
    results = checkout_results()
    timings = [timing for name in EXPERIMENTS for timing in read_timings([store.root], name)]
    for timing in timings:
        write_timing(results, timing)
    names = [name for name in EXPERIMENTS if store.find_study(name) is not None]
    if not names and not timings:
        raise ConvariumError(f"{store.root} holds none of the built-in studies", hint="name their --store")
    return {name: record_study(name, store, Store(results)) for name in names}


def recorded_timings() -> dict[str, int]:
    """On how many machines the networks of each built-in study were timed in turns, by the measured records."""
    counts = {name: len(read_timings([results_folder()], name)) for name in EXPERIMENTS}
    return {name: count for name, count in counts.items() if count}


def write_reproductions_page() -> Path:
    """Writes docs/reproductions.md from the measured records in results/, and returns its path.

    Raises:
        ConvariumError: Convarium is not run from a checkout.
    """
    results = checkout_results()
    path = results.parent / "docs" / "reproductions.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reproductions_page(Store(results)), "utf-8")
    return path


def reproductions_page(results: Store) -> str:
    """Returns docs/reproductions.md, made from the records of a store alone."""
    judged = findings(catalogue().values(), [results])
    rates = recorded_rates(results.root / "speed")
    outcomes = [f.verdict.outcome if f.verdict else NOT_RUN for f in judged]
    summary = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in (*OUTCOMES, NOT_RUN))
    parts = [_HEAD, f"{len(judged)} claims: {summary}.\n"]
    for source in dict.fromkeys(map(_source, judged)):
        of_source = [f for f in judged if _source(f) == source]
        parts += [f"## {source}\n", *_section(of_source, rates), *_not_asked(source_tag(of_source[0].entry.claim))]
    return "\n".join([*parts, *_studies(judged), *_rates(rates_behind(judged, rates))])


def _source(finding: Finding) -> str:
    return SOURCES.get(source_tag(finding.entry.claim), source_tag(finding.entry.claim))


def _section(judged: Sequence[Finding], rates: Rates) -> list[str]:
    lines = ["| claim | published | measured | n | verdict | cost |", "| --- | ---: | ---: | ---: | --- | ---: |"]
    for finding in judged:
        text, verdict = sentence(finding.entry.claim), finding.verdict
        cells = [
            _escape(f"`{finding.entry.name}`: {text}"),
            _escape(published(finding.entry.claim)),
            _escape(measured(finding.verdict)),
            runs_cell(finding),
            f"**{verdict.outcome}**" if verdict else NOT_RUN,
            cost_cell(finding, rates),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    sentences = [f"- `{f.entry.name}` {_escape(f.verdict.sentence)}.{_why(f)}" for f in judged if f.verdict]
    assumed = [_escape(note) + ".\n" for note in assumptions(finding.entry.claim for finding in judged)]
    return [*assumed, "\n".join(lines) + "\n", *(["\n".join(sentences) + "\n"] if sentences else [])]


def _why(finding: Finding) -> str:
    return f" Why it may be: {_escape(finding.reason)}" if finding.reason else ""


def _not_asked(tag: str) -> list[str]:
    """What a source claims beside the rows of its table."""
    lines = [f"- {_escape(claim)}: {_escape(reason)}." for claim, reason in NOT_ASKED.get(tag, ())]
    return ["Claimed and not asked:\n", "\n".join(lines) + "\n"] if lines else []


def _studies(judged: Iterable[Finding]) -> list[str]:
    """Where and when the runs behind the page were made."""
    by_study: dict[str, dict[str, StoredRun]] = {}
    for finding in judged:
        by_study.setdefault(finding.entry.study.name, {}).update({run.key: run for run in finding.runs})
    lines = ["| study | runs | seeds | machine | commit | date |", "| --- | ---: | --- | --- | --- | --- |"]
    for name, runs in by_study.items():
        if runs:
            places = [run.outcome.environment for run in runs.values()]
            dates = sorted({e.started[:10] for e in places if e.started})
            commits = dict.fromkeys((e.commit or "unknown")[:10] + ("-dirty" * _dirty(e.commit)) for e in places)
            cells = [
                f"`{name}`",
                str(len(runs)),
                spans(run.recipe.seed for run in runs.values()),
                "; ".join(dict.fromkeys(map(hardware_label, places))),
                ", ".join(commits),
                " to ".join(dict.fromkeys([*dates[:1], *dates[-1:]])),
            ]
            lines.append("| " + " | ".join(map(_escape, cells)) + " |")
    return ["## Where the runs were made\n", "\n".join(lines) + "\n"] if len(lines) > 2 else []


def _rates(rates: Sequence[Rate]) -> list[str]:
    """By which rates the costs of the missing runs were computed."""
    if not rates:
        return []
    lines = ["| network | images a second | machine | date |", "| --- | ---: | --- | --- |"]
    lines += [
        f"| {_escape(rate.network)} | {rate.images_per_second:,.0f} | {_escape(rate.machine)} | {rate.date} |"
        for rate in rates
    ]
    told = _escape(describe_rates(rates))
    return ["## What the missing runs would cost\n", f"{told[0].upper()}{told[1:]}.\n", "\n".join(lines) + "\n"]


def _dirty(commit: str | None) -> bool:
    return commit is not None and commit.endswith("-dirty")


def spans(numbers: Iterable[int]) -> str:
    """Whole numbers as ranges, in ascending order.

    Args:
        numbers: in any order; one that occurs again counts once.

    Returns:
        Text such as "0–4, 7"; an empty text without numbers.
    """
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in ranges)


def _escape(text: str) -> str:
    return formatting.escape_markdown(text, keep_code=True)

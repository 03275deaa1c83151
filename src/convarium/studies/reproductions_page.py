"""docs/reproductions.md: the catalogue as measured, generated from stored records and never typed."""

from collections.abc import Iterable, Sequence

from convarium.analysis.claims import describe, measured, published
from convarium.analysis.comparison import formatting, hardware_label
from convarium.runs.store import Store, StoredRun
from convarium.studies.catalogue import Finding, catalogue, findings, tag

SOURCES = {
    "memory-blog": "新的网络结构超越残差网络:记忆网络与残差网络的对比实践 (2024)",
    "residual-blog": "【Pytorch】残差神经网络(Residual Networks)",
    "d2l": "d2l.ai, and 一些经典的神经网络(第19天) (2024) after it",
    "mnist-report": "a course report on ResNet for MNIST",
    "uva": "UvA Deep Learning tutorial 5",
    "he2015": "He et al. 2015, arXiv 1512.03385",
    "he2016": "He et al. 2016, arXiv 1603.05027",
    "github.com/nabla0001/resnet": "github.com/nabla0001/resnet",
}
"""The sources by the tag that a claim's citation begins with."""

_HEAD = """# Published results, measured

Each row is a claim that a source makes, judged by `convarium reproduce` as [method.md](method.md) says. This page is
generated from the records in `results/` by `convarium reproduce --page`; nothing in it is typed. A row that is *not run
yet* has no record. Measured values are means over seeds with 95 % intervals; n counts the trained runs; the cost is the
training time of all runs behind the row.
"""


def page(results: Store) -> str:
    """The page, from the records of a store alone."""
    found = findings(catalogue().values(), [results])
    counts = [sum(f.verdict is not None and f.verdict.outcome == o for f in found) for o in _OUTCOMES]
    waiting = sum(f.verdict is None for f in found)
    summary = ", ".join(f"{n} {o}" for n, o in zip(counts, _OUTCOMES, strict=True))
    parts = [_HEAD, f"{len(found)} claims: {summary}, {waiting} not run yet.\n"]
    for source in dict.fromkeys(map(_source, found)):
        parts += [f"## {source}\n", *_section([f for f in found if _source(f) == source])]
    return "\n".join([*parts, *_studies(found)])


_OUTCOMES = ("supported", "refuted", "undecided")


def _source(finding: Finding) -> str:
    return SOURCES.get(tag(finding.entry.claim), tag(finding.entry.claim))


def _section(found: Sequence[Finding]) -> list[str]:
    lines = ["| claim | published | measured | n | verdict | cost |", "| --- | ---: | ---: | ---: | --- | ---: |"]
    for finding in found:
        told = describe(finding.entry.claim).removesuffix(f" ({finding.entry.claim.source})")
        verdict = finding.verdict
        cells = [
            _escape(f"`{finding.entry.name}`: {told}"),
            _escape(published(finding.entry.claim)),
            _escape(measured(finding.verdict)),
            str(verdict.n) if verdict else "0",
            f"**{verdict.outcome}**" if verdict else "not run yet",
            cost(finding),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    said = [f for f in found if f.verdict is not None]
    sentences = [f"- `{f.entry.name}` {_escape(f.verdict.sentence)}.{_why(f)}" for f in said if f.verdict]
    return ["\n".join(lines) + "\n", *(["\n".join(sentences) + "\n"] if sentences else [])]


def _why(finding: Finding) -> str:
    refuted = finding.verdict is not None and finding.verdict.outcome == "refuted"
    return f" Why it may be: {_escape(finding.entry.reason)}" if refuted and finding.entry.reason else ""


def cost(finding: Finding) -> str:
    """The cost of a claim's runs, in a cell of a table."""
    if not finding.runs:
        return f"{finding.planned} runs"
    return f"{len(finding.runs)} of {finding.planned} runs, {formatting.duration(finding.seconds)}"


def _studies(found: Iterable[Finding]) -> list[str]:
    """Where and when the runs behind the page were made."""
    by_study: dict[str, dict[str, StoredRun]] = {}
    for finding in found:
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


def _dirty(commit: str | None) -> bool:
    return commit is not None and commit.endswith("-dirty")


def spans(numbers: Iterable[int]) -> str:
    """Whole numbers as ranges: "0–4, 7"."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in found)


def _escape(text: str) -> str:
    return formatting.escape_markdown(text, keep_code=True)

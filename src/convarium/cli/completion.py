"""Values for the shell's completion.

They come from tables that are read without torch, so that a Tab is answered at once.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from convarium.characters import one_line

Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def among(values: Iterable[str]) -> Completion:
    """A completion that offers those values that begin with what has been typed."""
    known = tuple(values)

    def complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:  # noqa: ARG001
        return _beginning(known, typed)

    return complete


def models(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:  # noqa: ARG001
    """Networks and their presets."""
    from convarium.models.index import NETWORKS, PRESETS

    return _beginning([*NETWORKS, *PRESETS], typed)


def recipe_presets(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:  # noqa: ARG001
    """The sources' tags, with their variants."""
    from convarium.recipes.presets import RECIPES

    tags = {f"{t}/{v}".rstrip("/"): None for t, networks in RECIPES.items() for vs in networks.values() for v in vs}
    return _beginning(tags, typed)


def datasets(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:  # noqa: ARG001
    """Published data sets, and the form of one's own."""
    from convarium.data import DATASETS
    from convarium.data.folder_options import OWN

    return _beginning([*DATASETS, *OWN], typed)


def experiments(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:  # noqa: ARG001
    """The built-in studies, and Python files."""
    from convarium.studies.builtin import EXPERIMENTS

    return [*_beginning(EXPERIMENTS, typed), *_python_files(typed)]


def claims(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:  # noqa: ARG001
    """The claims of the catalogue, their studies and their sources, and all claims of speed."""
    from convarium.analysis.claims import source_tag
    from convarium.studies.catalogue import catalogue

    entries = catalogue().values()
    groups = dict.fromkeys([*(source_tag(entry.claim) for entry in entries), *(entry.study.name for entry in entries)])
    return _beginning([*groups, *(entry.name for entry in entries), "speed", "all"], typed)


def studies(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:  # noqa: ARG001
    """The studies of the store."""
    from convarium.runs.store import Store

    return _beginning(Store(_store(context)).study_names(), typed)


def runs(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:  # noqa: ARG001
    """The finished runs of the store, by their folders' names."""
    return _beginning(sorted(path.parent.name for path in _store(context).glob("runs/*/outcome.json")), typed)


def run_then_images(context: click.Context, parameter: click.Parameter, typed: str) -> list[Any]:
    """A run as the first word, unless an option stands for it, and then files."""
    from click.shell_completion import CompletionItem

    if any(context.params.get(name) for name in ("names", "ensemble", "weights")):
        return [CompletionItem(typed, type="file")]
    return runs(context, parameter, typed)


def studies_and_runs(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """What can be removed: the studies of the store, and its runs whatever their state."""
    from convarium.runs.listing import run_folders
    from convarium.runs.store import Store

    named = _beginning([path.name for path in run_folders(Store(_store(context)))], typed)
    return [*studies(context, parameter, typed), *named]


def jobs(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:  # noqa: ARG001
    """The jobs of the benchmark."""
    from convarium.benchmark import JOB_NAMES

    return _beginning(JOB_NAMES, typed)


def _python_files(typed: str) -> list[str]:
    """The Python files whose path begins with what has been typed; none where the folder cannot be read."""
    folder, beginning = os.path.split(typed)
    try:
        names = sorted(path.name for path in Path(folder).iterdir() if path.suffix == ".py")
    except OSError:
        return []
    return [os.path.join(folder, name) for name in _beginning(names, beginning)]  # noqa: PTH118, as it was typed


def _store(context: click.Context) -> Path:
    return Path(context.params.get("store") or ".")


def _beginning(names: Iterable[str], typed: str) -> list[str]:
    """Names that begin with what has been typed; none that would give orders to the terminal."""
    return [name for name in names if name.startswith(typed) and name == one_line(name)]

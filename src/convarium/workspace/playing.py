"""What `Workspace.play` does: finds a study's runs and its test images, and has the page written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from convarium.disk import remove_unfinished, usable_path
from convarium.errors import ConvariumError
from convarium.spec import unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from convarium.inference.playground import Playground
    from convarium.inference.playground.words import Language
    from convarium.studies.resources import Resources

_WRITING_SECONDS = 60
"""A page is written faster than this."""


def play(
    resources: Resources,
    study: str,
    *,
    out: Path | str | None,
    seeds: int,
    all_networks: bool,
    float32: bool,
    epochs: bool,
    title: str | None,
    hide_names: bool,
    quiz: bool,
    language: Language,
    on_note: Callable[[str], None] | None,
) -> Playground:
    """See `Workspace.play`."""
    from convarium.inference.playground.page import write_playground
    from convarium.inference.playground.words import LANGUAGES
    from convarium.studies.compare import compare_study
    from convarium.studies.report import scored_images

    if language not in LANGUAGES:
        raise unknown("language", language, LANGUAGES)
    if seeds < 1:
        raise ConvariumError("seeds that play", expected="1 or more", received=seeds)
    store = resources.store
    record = store.study(study)
    comparison = compare_study(record, store, drawn=True)
    path = store.study_folder(study) / "play.html" if out is None else usable_path(out, "out")
    if path.is_dir():
        raise ConvariumError(f"--out {path} is a folder", hint=f"name a file in it: --out {path / 'play.html'}")
    path.parent.mkdir(parents=True, exist_ok=True)  # now, before minutes are spent on what cannot be written
    remove_unfinished(path.parent, path.name, idle_seconds=_WRITING_SECONDS)
    if on_note is not None:
        on_note(f"reading the networks of {study} …")
    done = write_playground(
        comparison,
        path,
        test_images=scored_images(comparison, resources),
        seeds=seeds,
        all_networks=all_networks,
        float32=float32,
        epochs=epochs,
        title=title,
        hide_names=hide_names,
        quiz=quiz,
        language=language,
    )
    finished, planned = sum(len(row.runs) for row in comparison.rows), len(record.keys)
    if finished == planned:
        return done
    missing = f"{finished} of the {planned} planned runs {'is' if finished == 1 else 'are'} finished."
    return dataclasses.replace(done, left_out=(*done.left_out, f"{missing} A network without a run does not play."))

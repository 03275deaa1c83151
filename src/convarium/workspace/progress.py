"""How training goes, shown without a word in a notebook, and elsewhere where it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from convarium.characters import encodable, one_line
from convarium.notebook import is_notebook

if TYPE_CHECKING:
    from convarium.studies.events import StudyEvent


def with_progress(
    on_event: Callable[[StudyEvent], None] | None,
    progress: bool | None,
    *,
    split: Literal["test", "validation"] = "test",
) -> Callable[[StudyEvent], None] | None:
    """A listener to a study's events that also shows them, where that is wanted.

    Args:
        on_event: the caller's own listener, which is called first.
        progress: True: in a notebook a bar that is updated, elsewhere lines on standard error; False: nothing; None:
            the bar in a notebook, unless the caller has a listener.
        split: whose accuracy is told when a run ends.

    Returns:
        None where nobody listens.
    """
    if progress is None:
        progress = on_event is None and is_notebook()
    if not progress:
        return on_event
    show = _bar() if is_notebook() else _lines(split)
    if on_event is None:
        return show

    def tell_both(event: StudyEvent) -> None:
        on_event(event)
        show(event)

    return tell_both


def _bar() -> Callable[[StudyEvent], None]:
    from convarium.studies.notebook_progress import NotebookProgress

    return NotebookProgress().on_event


def _lines(split: Literal["test", "validation"]) -> Callable[[StudyEvent], None]:
    from convarium.studies.progress_lines import ProgressLines

    def write(line: str) -> None:
        sys.stderr.write(encodable(one_line(line), getattr(sys.stderr, "encoding", None)) + "\n")
        sys.stderr.flush()

    return ProgressLines(write, split=split).on_event

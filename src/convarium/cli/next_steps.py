"""What may be done after a study: commands that can be pasted, in as many lines as the terminal needs."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convarium.characters import shell_word
from convarium.cli.terminal import columns_of_terminal, say

if TYPE_CHECKING:
    from convarium.analysis.comparison import Comparison

_INDENT = 4
_LOWER = 10
"""The learning rate of networks that diverged is divided by this."""


def say_next_steps(
    comparison: "Comparison",
    study: str,
    *,
    store: Path,
    report: Path | None,
    words: Sequence[str] | None = None,
    mark: str = "",
) -> None:
    """Prints the next steps after a comparison.

    Args:
        comparison: its answer has been printed.
        study: its name.
        store: that holds it.
        report: its page; None: it has not been written.
        words: the command that trained it, without "convarium"; None: that of the comparison.
        mark: what stands before every line.
    """
    in_store = [] if store == Path() else ["--store", str(store)]
    steps = {"open": opening(report)} if report else {"page": ["convarium", "report", study, *in_store]}
    steps |= _more_training(comparison, words_of(comparison.command) if words is None else list(words))
    steps["look inside"] = ["convarium", "report", study, "--diagnostics", *in_store]
    say_steps(steps, mark=mark)


def say_steps(steps: dict[str, list[str]], *, mark: str = "") -> None:
    """Prints commands below each other, each after what it is for. A long one goes on after a backslash."""
    width = columns_of_terminal() - len(mark)
    for title, words in steps.items():
        start = f"{title}:".ljust(max(map(len, steps)) + 2)
        say("\n".join(_folded(start, _units(words), width)), mark=mark)


def opening(path: Path) -> list[str]:
    """The command that opens a file on this system; only its path where there is none."""
    opener = {"darwin": "open", "win32": "explorer"}.get(sys.platform, "xdg-open")
    return [opener, str(path)] if shutil.which(opener) else [str(path)]


def words_of(command: str | None) -> list[str]:
    """The words of a study's command after "convarium"; empty where it is none that trains."""
    try:
        words = shlex.split(command or "")
    except ValueError:
        return []
    return words[1:] if words[:1] == ["convarium"] and words[1:2] in (["compare"], ["run"]) else []


def with_flag(words: Sequence[str], flag: str, value: str | None) -> list[str]:
    """The words of a command with another value of a flag; None: without the flag."""
    kept, skips = [], False
    for word in words:
        if not skips and word != flag and not word.startswith(f"{flag}="):
            kept.append(word)
        skips = word == flag and not skips
    if value is None:
        return kept
    end = kept.index("--") if "--" in kept else len(kept)
    return [*kept[:end], flag, value, *kept[end:]]


def _more_training(comparison: "Comparison", words: list[str]) -> dict[str, list[str]]:
    """The command at a lower learning rate where a row failed and runs diverged, or with --tune where none did, with
    more epochs where a row was still learning, and with more seeds, unless no run trained.
    """
    if not words or "--recommend" in words or "--budget" in words:
        return {}
    if "--quick" in words:
        return {"whole study": ["convarium", *(word for word in words if word != "--quick")]}
    runs = [run for row in comparison.rows for run in row.runs]
    learning = [row for row in comparison.rows if row.still_learning]
    failed = [row for row in comparison.rows if row.has_failed]
    steps = {}
    if failed and words[0] == "compare" and "--tune" not in words and comparison.by != "learning_rate":
        rate = min(row.runs[0].recipe.learning_rate for row in failed) / _LOWER
        named = with_flag(words, "--name", None)  # another learning rate is another study
        if any(row.diverged for row in failed):
            steps["lower rate"] = ["convarium", *with_flag(named, "--learning-rate", f"{rate:.6g}")]
        else:  # at chance: the rate may be too high or too low
            steps["tune rates"] = ["convarium", *named[:1], "--tune", *named[1:]]
    if learning and words[0] == "compare":
        from convarium.analysis.comparison.warnings import LONGER

        epochs = LONGER * max(row.runs[0].recipe.epochs for row in learning)
        named = with_flag(words, "--name", None)  # another number of epochs is another study
        steps["train longer"] = ["convarium", *with_flag(named, "--epochs", str(epochs))]
    if any(row.n for row in comparison.rows):
        seeds = 2 * len({run.recipe.seed for run in runs})
        steps["more seeds"] = ["convarium", *with_flag(words, "--seeds", str(seeds))]
    return steps


def _units(words: Sequence[str]) -> list[str]:
    """The shell_word words, a flag together with its value."""
    units: list[str] = []
    for i, word in enumerate(words):
        if i and words[i - 1].startswith("--") and not word.startswith("--") and "=" not in words[i - 1]:
            units[-1] += f" {shell_word(word)}"
        else:
            units.append(shell_word(word))
    return units


def _folded(start: str, words: list[str], width: int) -> list[str]:
    if os.name == "nt":
        return [start + " ".join(words)]
    lines = [start.rstrip()] if not words else [start + words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) + 2 <= width:
            lines[-1] += f" {word}"
        else:
            lines[-1] += " \\"
            lines.append(" " * _INDENT + word)
    return lines

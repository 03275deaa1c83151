"""Studies that are killed at random moments: the same command carries them to their ends, with the same bits."""

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import short_studies
from figures import Progress

SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
"""Signal → the exit code of a process that it ends."""

BUSY = 0.7
"""A signal comes in this part of the seconds that an undisturbed study takes, most of which train."""

PROGRAMS = 0.1
"""The share of processes that are programs of their own instead of forks, so that some are killed while they import."""


def check(count: int) -> dict[str, Any]:
    """Kills studies `count` times: a study is killed one to four times, then it is carried to its end."""
    short_studies.prepare()
    draw, progress, broken = random.Random(0), Progress(), list[str]()
    kills: Counter[str] = Counter()
    carried_out, programs, ended_before = 0, 0, 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        expected, seconds = _undisturbed(folder)
        while kills.total() < count:
            way = sorted(short_studies.TRAINED)[carried_out % len(short_studies.TRAINED)]
            store, output = folder / "store", folder / "output"
            shutil.rmtree(store, ignore_errors=True)
            output.unlink(missing_ok=True)
            carried_out += 1
            for _ in range(draw.randint(1, 4)):
                number = draw.choice(sorted(SIGNALS))
                is_program = draw.random() < PROGRAMS
                moment = draw.uniform(0, BUSY * seconds[way] + (5 if is_program else 0))
                code = _killed(way, store, output, number, moment, is_program=is_program)
                if code == SIGNALS[number] or (is_program and code == -number):
                    kills[f"{signal.Signals(number).name} {way}"] += 1
                    programs += is_program
                elif code == 0:
                    ended_before += 1
                else:
                    broken.append(f"{way}: exit code {code} after signal {number}: {short_studies.tail(output)}")
            left = short_studies.carried_to_its_end(short_studies.TRAINED[way], store, output, expected[way])
            broken += [f"{way}: {text}" for text in left]
            progress.tell(f"{kills.total()} kills, {carried_out} studies, {len(broken)} broken")
    return {
        "kills": kills.total(),
        "of these": dict(sorted(kills.items())),
        "of programs that were still importing or had begun": programs,
        "had ended before the signal": ended_before,
        "studies": carried_out,
        "broken": broken,
    }


def _undisturbed(folder: Path) -> tuple[dict[str, dict[str, str]], dict[str, float]]:
    """The bits of a study that is never killed, and its seconds, by the way to train it."""
    expected, seconds = {}, {}
    for way, words in short_studies.TRAINED.items():
        start = time.monotonic()
        expected[way] = short_studies.undisturbed(words, folder / way)
        seconds[way] = time.monotonic() - start
    return expected, seconds


def _killed(way: str, store: Path, output: Path, number: int, moment: float, *, is_program: bool) -> int | None:
    """The exit code of a study that gets a signal at a moment, in seconds from its start."""
    words, begin = short_studies.TRAINED[way], time.monotonic()
    if is_program:
        process = short_studies.start(words, store, output)
    else:
        process = short_studies.fork(short_studies.command(words, store), output)
    code = short_studies.wait(process, moment - (time.monotonic() - begin))
    if code is None:
        os.kill(process, number)
        code = short_studies.wait(process)
        if code is None:
            short_studies.kill(process)
    return code

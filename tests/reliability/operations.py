"""A study that is killed before each of its operations on files: the same command carries it to its end."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import short_studies
from figures import Progress

_NAMED = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def check(count: int) -> dict[str, Any]:
    """Kills a study before every operation, or before every `count`-th, and carries it to its end each time."""
    short_studies.prepare()
    words, progress, broken = short_studies.WATCHED, Progress(), list[str]()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        expected = short_studies.undisturbed(words, folder / "undisturbed")
        store, output, kills = folder / "store", folder / "output", 0
        for stop in range(1, sys.maxsize, max(1, count)):
            shutil.rmtree(store, ignore_errors=True)
            output.unlink(missing_ok=True)
            code = short_studies.wait(short_studies.fork(killed_before(stop, words, store), output))
            if code != -signal.SIGKILL:
                if code != 0:
                    broken.append(f"operation {stop}: exit code {code}: {short_studies.tail(output)}")
                break  # it has no more operations
            kills += 1
            left = short_studies.carried_to_its_end(words, store, output, expected)
            broken += [f"killed before operation {stop}: {text}" for text in left]
            progress.tell(f"{kills} kills, {len(broken)} broken")
    return {"kills": kills, "operations": stop - 1, "broken": broken}


def killed_before(stop: int, words: tuple[str, ...], store: Path) -> Callable[[], int]:
    """What a fork does that carries out a command and is killed before its operation number `stop` in the store.

    Operations are what Python announces before it is done (a file is opened for writing, renamed or removed, a folder
    is made or removed, a lock is taken), and every flush to the disk.
    """
    work, root, flush = short_studies.command(words, store), str(store), os.fsync
    done = 0

    def count_one() -> None:
        nonlocal done
        done += 1
        if done == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        is_of_store = event in _NAMED and str(arguments[0]).startswith(root)
        if event == "fcntl.flock" or (is_of_store and (event != "open" or arguments[2] & _WRITING)):
            count_one()

    def flush_counted(file: int) -> None:
        count_one()
        flush(file)

    def counted() -> int:
        os.fsync = flush_counted
        sys.addaudithook(on_event)  # for this fork alone
        return work()

    return counted

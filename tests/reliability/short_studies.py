"""Short studies as a user starts them, in processes that are forks of this one, and the bits that they leave.

PyTorch is imported once, here, because that takes ten times as long as the studies. A fork calls what the command
`convarium` calls; what happens to a process while it imports is checked by those that `start` starts as a program.
"""

import dataclasses
import gc
import hashlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

from convarium.__main__ import main
from convarium.disk import file_digest
from convarium.pages import page
from convarium.runs.seal import WEIGHTS
from convarium.runs.store import Store

NAME = "short"
PLAIN = (
    "compare",
    "lenet",
    "alexnet(hidden=16, width_divisor=16)",
    "--epochs",
    "2",
    "--batch-size",
    "256",
    "--name",
    NAME,
)
"""Two networks, one of them with dropout, on 237 digits, four steps an epoch."""

TRAINED = {
    "plain": (*PLAIN, "--seeds", "2"),
    "live": (*PLAIN, "--seeds", "2", "--live"),
    "stack": (*PLAIN, "--seeds", "2", "--stack"),
}
"""Ways to train a study → the command."""

WATCHED = ("compare", "lenet", *PLAIN[3:], "--seeds", "2", "--watch-test")
"""One network with two seeds, whose runs have every file that a run can have."""

SECONDS = 120
"""Wall time after which a process hangs."""


def prepare() -> None:
    """Carries out each study once in this process, so that forks have imported what it needs.

    The JavaScript of a report is a short text here, because the library that bundles it starts threads and takes a
    second, and a fork of a process with threads may hang.
    """
    page._vega = lambda: "// the chart library"
    with tempfile.TemporaryDirectory() as made, (Path(made) / "output").open("w") as output:
        for way, words in TRAINED.items():
            with redirect_stdout(output), redirect_stderr(output):
                code = command(words, Path(made) / way)()
            if code != 0 or len(list(Path("/proc/self/task").iterdir())) > 1:
                raise RuntimeError(f"no study can be carried out: {tail(Path(made) / 'output')}")
    gc.freeze()


def fork(work: Callable[[], int], output: Path) -> int:
    """Starts a process that does some work and ends with the code that it returns; returns its number."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(n, "w", closefd=False), "utf-8") for n in (1, 2))
        code = work()
    except BaseException as error:
        import traceback

        traceback.print_exc()
        code = 71 if isinstance(error, Exception) else 72
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def command(words: Sequence[str], store: Path) -> Callable[[], int]:
    """What a fork does that runs `convarium` with these words in a store."""

    def work() -> int:
        sys.argv = ["convarium", *words, "--store", str(store)]
        return main()

    return work


def start(words: Sequence[str], store: Path, output: Path) -> int:
    """Starts `python -m convarium` with these words as a program of its own; returns its number."""
    with output.open("ab") as file:
        call = [sys.executable, "-m", "convarium", *words, "--store", str(store)]
        return subprocess.Popen(call, stdin=subprocess.DEVNULL, stdout=file, stderr=file).pid


def wait(process: int, seconds: float = SECONDS) -> int | None:
    """The exit code of a process, or minus the signal that ended it; None if it has not ended in time."""
    limit = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= limit:
            return None
        time.sleep(0.002)


def kill(process: int) -> None:
    """Kills a process and waits for its end."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def bits(store: Path) -> dict[str, str]:
    """What the runs of the study in a store are, by key: a digest of all that is equal when a study is repeated.

    Raises:
        ConvariumError: the study is incomplete or damaged.
    """
    opened = Store(store)
    study = opened.study(NAME)
    runs = opened.runs_of(study)
    if len(runs) != len(study.keys):
        raise AssertionError(f"{len(runs)} of {len(study.keys)} runs are sealed")
    found = {}
    for run in runs:
        run.verify()
        rows = [dataclasses.replace(row, seconds=0) for row in run.outcome.history]
        result = (run.outcome.status, run.outcome.selected_epoch, run.outcome.train, run.outcome.validation)
        texts = [repr(rows), repr(result), repr(run.outcome.test), file_digest(run.path / WEIGHTS)]
        arrays = [*(run.predictions() or ()), *(run.steps() or ())]
        texts += [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays]
        found[run.key] = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return found


def left_over(store: Path) -> list[str]:
    """Files that a study that has ended should not leave, and runs that were set aside.

    What a killed process leaves of a page is removed by the study's next command after an hour.
    """
    odd = [path for path in store.rglob("*") if path.name.endswith((".tmp", ".damaged", ".other"))]
    odd = [path for path in odd if not path.name.endswith(".tmp") or ".html." not in path.name]
    odd += [path for path in (store / "runs").iterdir() if ".damaged-" in path.name]
    odd += [path for path in (store / "runs").glob("*/*") if path.name.startswith(("last.", "failed"))]
    return sorted(str(path.relative_to(store)) for path in odd)


def undisturbed(words: Sequence[str], folder: Path) -> dict[str, str]:
    """The bits of a study that nothing disturbs, carried out in a new folder."""
    output = folder.with_name(f"{folder.name}.output")
    code = wait(fork(command(words, folder), output))
    if code != 0:
        raise RuntimeError(f"exit code {code}: {tail(output)}")
    return bits(folder)


def carried_to_its_end(words: Sequence[str], store: Path, output: Path, expected: dict[str, str]) -> list[str]:
    """What is wrong after a command that nothing disturbs any more: its exit code, the runs' bits, what lies about.

    Args:
        words: of the command.
        store: in which something happened before.
        output: gets what the command prints.
        expected: bits of a study that nothing disturbed.
    """
    process = fork(command(words, store), output)
    code = wait(process)
    if code != 0:
        if code is None:
            kill(process)
        return [f"exit code {code}: {tail(output)}"]
    try:
        found = bits(store)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    wrong = [] if found == expected else ["the bits are not those of a study that nothing disturbed"]
    left = left_over(store)
    return wrong + ([f"left over: {left}"] if left else [])


def tail(output: Path) -> str:
    """The end of what a process printed."""
    return output.read_text("utf-8", "replace")[-1500:] if output.exists() else ""

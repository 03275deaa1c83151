"""Processor seconds (user + system) until the command line answers: the median of several processes for each call.

    python benchmarks/startup.py [REPEATS]     from the repository's root; 5 processes each by default

The last line is the time until a training command first says something, on standard error. It needs Linux's /proc.
"""

import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CALLS = {
    "convarium --help": ["--help"],
    "convarium --version": ["--version"],
    "convarium train --help": ["train", "--help"],
    "convarium compare --help": ["compare", "--help"],
    "a misspelt command": ["trian", "lenet"],
    "a misspelt flag": ["train", "lenet", "--epohcs", "3"],
    "completion of a network's name": [],
    "completion of a claim's name": [],
    "convarium list models": ["list", "models"],
    "convarium list experiments": ["list", "experiments"],
    "convarium results vanishing": ["results", "vanishing", "--store", "results"],
    "convarium report vanishing": ["report", "vanishing", "--store", "results", "--out", "{folder}/report.html"],
    "convarium reproduce": ["reproduce"],
}
COMPLETIONS = {
    "completion of a network's name": ("convarium compare lenet resn", "3"),
    "completion of a claim's name": ("convarium reproduce memory", "2"),
}
COMMAND = [sys.executable, "-m", "convarium"]


def processor_seconds(name: str) -> float:
    """The user and system time of one process."""
    variables = dict(os.environ)
    if name in COMPLETIONS:
        typed, position = COMPLETIONS[name]
        variables |= {"_CONVARIUM_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": position}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        words = [word.format(folder=folder) for word in CALLS[name]]
        subprocess.run([*COMMAND, *words], env=variables, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds_to_first_sign() -> float:
    """The user and system time of a training command when it writes its first line."""
    with tempfile.TemporaryDirectory() as store:
        words = [*COMMAND, "compare", "lenet", "residual_cnn", "--store", store]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        process.stderr.readline()
        times = Path(f"/proc/{process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Prints one line for each call."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for name in CALLS:
        seconds = statistics.median(processor_seconds(name) for _ in range(repeats))
        sys.stdout.write(f"{name:<40} {seconds:5.2f} s\n")
        sys.stdout.flush()
    seconds = statistics.median(seconds_to_first_sign() for _ in range(repeats))
    sys.stdout.write(f"{'first sign of life of a training':<40} {seconds:5.2f} s\n")


if __name__ == "__main__":
    main()

"""Fuzz: every reader of `readers.py` gets random input for a given processor time, in processes of its own."""

import random
import time
import traceback
from functools import partial
from typing import Any

from figures import Progress, add_figures, commit, read_figures
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from processes import in_a_process
from readers import CHECKS

SLICE = 20
"""Seconds of processor time for one process, which then makes way for the next reader's."""

EXAMPLES = 100


def check(count: int) -> dict[str, Any]:
    """Fuzzes every reader for `count` seconds of processor time.

    It goes on from what the file of figures has, so that it can be stopped at any time; a reader that broke a promise
    begins anew.
    """
    before = read_figures().get("fuzz", {"readers": {}, "commits": [], "broken": []})
    again = {text.partition(":")[0] for text in before["broken"]}
    readers = {
        name: {"seconds": 0, "inputs": 0} if name in again else before["readers"].get(name, {"seconds": 0, "inputs": 0})
        for name in CHECKS
    }
    commits = list(dict.fromkeys([*before["commits"], commit()]))
    figures: dict[str, Any] = {"readers": readers, "commits": commits, "broken": []}
    progress = Progress()
    while any(reader["seconds"] < count for reader in readers.values()):
        for name, reader in readers.items():
            if reader["seconds"] >= count:
                continue
            report = in_a_process(partial(_fuzz, name, min(SLICE, count - reader["seconds"])))
            reader["seconds"] = round(reader["seconds"] + max(1, report["seconds"]), 1)
            reader["inputs"] += report["inputs"]
            figures["broken"] += [f"{name}: {text}" for text in report["broken"]]
            progress.tell(f"{name} {reader}, {len(figures['broken'])} broken")
            add_figures("fuzz", figures)
    return figures


def _fuzz(name: str, seconds: float) -> dict[str, Any]:
    """Fuzzes one reader: processor seconds, inputs, and the seeds and tracebacks of promises that it broke."""
    report: dict[str, Any] = {"seconds": 0.0, "inputs": 0, "broken": []}
    start = time.process_time()
    while time.process_time() - start < seconds and not report["broken"]:
        number = random.SystemRandom().randrange(2**32)

        @seed(number)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(data=st.data())
        def read(data: Any) -> None:
            report["inputs"] += 1
            CHECKS[name](data)

        try:
            read()
        except BaseException:
            report["broken"].append(f"seed {number}: {traceback.format_exc()[-3000:]}")
    report["seconds"] = time.process_time() - start
    return report

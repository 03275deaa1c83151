"""Work in forks of this process, so that a crash, a hang or a peak of memory is that of one piece of work."""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

ADDRESSES = 8 * 2**30
"""Bytes that a process may map, so that one that asks for more does not take the machine with it."""

SECONDS = 1200
"""Wall time after which a process hangs; the machine may be busy."""


def in_a_process(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a function answers in a fork of this process; one that crashes, or hangs for long, has broken a promise."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        with os.fdopen(writing, "w") as pipe:
            json.dump(work(), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(process, 0)
    if status:
        return {"seconds": 0, "inputs": 0, "broken": [f"the process ended with status {status}"]}
    answer: dict[str, Any] = json.loads(text)
    return answer

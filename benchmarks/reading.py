"""How long it takes until a folder of images is there: the first time, and when it has been read before."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_folders import make_folder

_READ = """
import json, sys
from clock import Clock
from convarium.data.loading import load_data
clock = Clock()
splits = load_data("folder:" + sys.argv[1])
clock.stop()
assert len(splits.train) + len(splits.validation) + len(splits.test) == int(sys.argv[2])
print(json.dumps([clock.seconds, clock.processor_seconds]))
"""

Rows = list[dict[str, str | int | float]]


def second_reading() -> Rows:
    """20,000 PNG files, read twice."""
    return _reading(20_000)


def first_reading() -> Rows:
    """100,000 PNG files, read twice."""
    return _reading(100_000)


def _reading(n: int) -> Rows:
    rows: Rows = []
    with tempfile.TemporaryDirectory() as folder:
        images = make_folder(Path(folder) / "images", n)
        time.sleep(3)  # until the files are old enough for their times to be trusted
        for time_read in ("first", "second"):
            seconds, processor_seconds = _read(images, n, cache=Path(folder) / "cache")
            rows.append(
                {
                    "PNG files, 32×32": n,
                    "read for the": f"{time_read} time",
                    "seconds": seconds,
                    "processor seconds": processor_seconds,
                }
            )
    return rows


def _read(images: Path, n: int, *, cache: Path) -> tuple[float, float]:
    """Seconds and processor seconds of a process of its own, without its start and its imports."""
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(images), str(n)],
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds, processor_seconds = json.loads(done.stdout)
    return seconds, processor_seconds

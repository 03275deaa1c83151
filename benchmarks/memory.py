"""How much memory a training takes whose images are decoded into the cache and read from there. It needs Linux's /proc.

The system counts two kinds of memory of a process: what it has to keep (RssAnon), such as weights, activations and
batches, and what it can drop at any time because a file on the disk holds the same (RssFile), such as the images. Only
the first kind has to fit into memory.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_folders import make_folder

SIDE = 224


def larger_than_memory() -> list[dict[str, str | int | float]]:
    """One epoch on 2,000 and on 20,000 images of 224×224, from their files to the stored run."""
    return [_trained(n) for n in (2_000, 20_000)]


def _trained(n: int) -> dict[str, str | int | float]:
    with tempfile.TemporaryDirectory() as folder:
        images = make_folder(Path(folder) / "images", n, side=SIDE, ending="jpg")
        time.sleep(3)  # until the files are old enough for their times to be trusted
        command = [
            sys.executable,
            "-m",
            "convarium",
            "train",
            "lenet",
            "--dataset",
            f"folder:{images}",
            "--epochs",
            "1",
        ]
        process = subprocess.Popen(
            [*command, "--store", str(Path(folder) / "runs")],
            env=os.environ | {"XDG_CACHE_HOME": str(Path(folder) / "cache")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        own, mapped = 0, 0
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
            kinds = {kind: int(kb) for kind, kb in re.findall(r"(RssAnon|RssFile):\s+(\d+) kB", status)}
            own, mapped = max(own, kinds.get("RssAnon", 0)), max(mapped, kinds.get("RssFile", 0))
            time.sleep(0.02)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {
        "images, 224×224": n,
        "their pixels, GB": n * 3 * SIDE**2 / 1e9,
        "peak of memory that it has to keep, GB": own * 1024 / 1e9,
        "peak of mapped files, GB": mapped * 1024 / 1e9,
    }

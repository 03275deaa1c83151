"""How long `convarium predict` takes for many files, and how much memory. It needs Linux's unit of `ru_maxrss`."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_folders import make_folder

import convarium


def predicting() -> list[dict[str, str | int | float]]:
    """LeNet answers 1,000 and 100,000 PNG files of 32×32 pixels, as JSON, in processes of their own."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        training = make_folder(home / "training", 500)
        run = convarium.train("lenet", dataset=f"folder:{training}", epochs=1, store=home, device="cpu")
        for n in (1_000, 100_000):
            images = make_folder(home / str(n), n)
            command = [sys.executable, "-m", "convarium", "predict", str(run.path), str(images), "--json"]
            begin = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
            if status:
                raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
            rows.append(
                {
                    "PNG files, 32×32": n,
                    "seconds": seconds,
                    "processor seconds": used.ru_utime + used.ru_stime,
                    "peak memory, GB": used.ru_maxrss * 1024 / 1e9,
                }
            )
    return rows

"""Disks that are too small for a study: one sentence with the path, and with more room the same bits."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import short_studies
from figures import Progress

ROOM = 256 * 2**20


def check(count: int) -> dict[str, Any]:
    """Carries out a study on `count` disks (tmpfs, which needs root) between 4 KiB and what it takes."""
    short_studies.prepare()
    words, progress, broken = short_studies.TRAINED["plain"], Progress(), list[str]()
    ended = {"refused": 0, "went on without checkpoints or logs": 0}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        expected = short_studies.undisturbed(words, folder / "undisturbed")
        needed = _pages(folder / "undisturbed")
        disk = folder / "disk"
        disk.mkdir()
        for number in range(count):
            size = (2 + (needed - 2) * number // count) * os.sysconf("SC_PAGE_SIZE")
            output = folder / f"output-{number}"
            _call("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk))
            try:
                code = short_studies.wait(short_studies.fork(short_studies.command(words, disk / "store"), output))
                broken += [f"disk of {size} bytes: {text}" for text in _wrong_with(code, output, disk)]
                ended["went on without checkpoints or logs" if code == 0 else "refused"] += 1
                _call("mount", "-o", f"remount,size={ROOM}", str(disk))
                left = short_studies.carried_to_its_end(words, disk / "store", output, expected)
                broken += [f"disk of {size} bytes, then room: {text}" for text in left]
            finally:
                _call("umount", str(disk))
            progress.tell(f"{number + 1} disks, {len(broken)} broken")
    return {"disks": count, "from bytes": 2 * os.sysconf("SC_PAGE_SIZE"), "to bytes": size, **ended, "broken": broken}


def _wrong_with(code: int | None, output: Path, disk: Path) -> list[str]:
    """What is wrong with the end of a process whose disk is full."""
    text = output.read_text("utf-8", "replace")
    if code == 0:
        return [] if "Traceback" not in text else [f"a traceback: {text[-1500:]}"]
    last = text.rstrip().splitlines()[-1:] or [""]
    sentence = last[0] if last[0].startswith("convarium: ") else text[text.rfind("convarium: ") :]
    is_told = "No space left" in " ".join(sentence.split()) and str(disk) in sentence
    return [] if code == 1 and is_told and "Traceback" not in text else [f"exit code {code}: {text[-1500:]}"]


def _pages(folder: Path) -> int:
    """The pages that a folder takes in memory: whole ones for every file, one for every folder."""
    size = os.sysconf("SC_PAGE_SIZE")
    return sum(1 if path.is_dir() else -(-path.stat().st_size // size) for path in folder.rglob("*"))


def _call(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {done.stderr.strip()}")

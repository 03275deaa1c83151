"""Links in a store that lead out of it, and pipes in it, through which a stranger's store could have files written
elsewhere or keep a program waiting for ever.
"""

import os
from pathlib import Path

from convarium.errors import StoreError


def check_links(folder: Path, within: Path) -> None:
    """Refuses to write into a folder that is a link out of its store, or has such a link, a pipe or a device in it.

    Args:
        folder: of a run or of a study; it need not exist.
        within: the store's folder of runs or of studies, which may be a link itself.

    Raises:
        StoreError: names the link, the pipe or the device.
    """
    link = outward_link(folder, within)
    if link is not None:
        raise StoreError(
            f"{link} is a link out of {within}, which nothing is written through", hint="put the files themselves there"
        )
    special = _special_file(folder)
    if special is not None:
        raise StoreError(f"{special} is a pipe or a device, which a store does not hold", hint="delete it")


def outward_link(folder: Path, within: Path) -> Path | None:
    """The folder, or the first entry in it, that is a link out of `within`; None if there is none."""
    inside = within.resolve()
    if not folder.resolve().is_relative_to(inside):
        return folder
    if not folder.is_dir():
        return None
    with os.scandir(folder) as entries:
        links = sorted(Path(entry.path) for entry in entries if entry.is_symlink())
    return next((link for link in links if not link.resolve().is_relative_to(inside)), None)


def _special_file(folder: Path) -> Path | None:
    """The first entry of a folder that is a pipe or a device; None if there is none, or no such folder."""
    if not folder.is_dir():
        return None
    with os.scandir(folder) as entries:
        special = (
            Path(entry.path)
            for entry in entries
            if not (entry.is_symlink() or entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False))
        )
        return min(special, default=None)

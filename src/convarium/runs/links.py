"""Links in a store that lead out of it, through which a stranger's store could have files written elsewhere."""

import os
from pathlib import Path

from convarium.errors import StoreError


def check_links(folder: Path, within: Path) -> None:
    """Refuses to write into a folder that is a link out of its store, or that has such a link in it.

    Args:
        folder: of a run or of a study; it need not exist.
        within: the store's folder of runs or of studies, which may be a link itself.

    Raises:
        StoreError: names the link.
    """
    link = outward_link(folder, within)
    if link is not None:
        raise StoreError(
            f"{link} is a link out of {within}, which nothing is written through", hint="put the files themselves there"
        )


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

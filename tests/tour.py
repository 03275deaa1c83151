"""`python tests/tour.py` runs docs/tour.ipynb again and stores its outputs in it."""

import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TOUR = Path(__file__).parents[1] / "docs" / "tour.ipynb"


def executed(folder: Path) -> tuple[nbformat.NotebookNode, list[str]]:
    """The tour as it runs in a folder, and the kinds of all messages that its kernel sent, in their order."""
    notebook, kinds = nbformat.read(TOUR, as_version=4), []
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    process = client.process_message

    def counted(message, cell, index):
        kinds.append(message["msg_type"])
        return process(message, cell, index)

    client.process_message = counted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that talk to the kernel
        client.execute()
    return notebook, kinds


if __name__ == "__main__":
    place = Path(tempfile.mkdtemp())
    try:
        nbformat.write(executed(place)[0], TOUR)
    finally:
        shutil.rmtree(place)
    sys.stdout.write(f"{TOUR} {TOUR.stat().st_size:,} bytes\n")

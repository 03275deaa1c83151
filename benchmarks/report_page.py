"""The size of a report of 12 networks × 5 seeds, and how soon it can be used in a browser.

    python benchmarks/report_page.py

The studies are made from random numbers (tests/made_studies.py), as many epochs and steps as a small and a large study
have. Interactive means that Chromium has run the page's script and answers a click: the table is sorted. Every chart is
drawn when the last one is.
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from convarium.pages import write_report
from made_studies import made_study

NETWORKS = [f"resnet(depth={6 * n + 2})" for n in range(1, 7)] + [f"plain(depth={6 * n + 2})" for n in range(1, 7)]
STUDIES = {
    "30 epochs of 20 steps": {"epochs": 30, "steps_an_epoch": 20, "images": 1_800},
    "200 epochs of 390 steps": {"epochs": 200, "steps_an_epoch": 390, "images": 10_000},
}
TRIES = 3
SORTS = """() => {
    document.querySelector("#results thead button")?.click();
    return document.querySelector("#results th:first-child[aria-sort$='scending']");
}"""
ALL_DRAWN = (
    "document.querySelectorAll('figure.chart:not([hidden]) svg.marks').length"
    " === document.querySelectorAll('figure.chart:not([hidden])').length"
)


def open_page(browser: Browser, report: Path) -> tuple[float, float]:
    """Seconds from opening a page until a click sorts its table, and until all its charts are drawn."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    began = time.perf_counter()
    page.goto(report.as_uri(), wait_until="commit")
    page.wait_for_function(SORTS)
    interactive = time.perf_counter() - began
    page.wait_for_function(ALL_DRAWN)
    drawn = time.perf_counter() - began
    page.close()
    return interactive, drawn


def main() -> None:
    """Prints a line for each study."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, size in STUDIES.items():
            levels = {network: 0.85 + 0.01 * n for n, network in enumerate(NETWORKS)}
            folder = Path(scratch) / name.replace(" ", "-")
            report = write_report(made_study(folder, levels, seeds=5, **size), folder / "report.html")
            times = [open_page(browser, report) for _ in range(TRIES)]
            interactive, drawn = (statistics.median(column) for column in zip(*times, strict=True))
            megabytes = report.stat().st_size / 1e6
            sys.stdout.write(
                f"{name}: {megabytes:.2f} MB, interactive after {interactive:.1f} s, all drawn after {drawn:.1f} s\n"
            )
        browser.close()


if __name__ == "__main__":
    main()

"""The report in a real browser: Debian's chromium without a network. Skipped without one, but not where CI is set."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
FLAGS = ("--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync")  # fmt: skip

try:
    from playwright.sync_api import Browser, Page, sync_playwright
except ImportError:
    CHROMIUM = None

needs_browser = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="needs chromium and the package playwright"
)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    assert CHROMIUM is not None, "CI is set: install chromium and playwright"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


class opened:  # noqa: N801  used like a function
    """A page with all its charts drawn, that watches for complaints and requests until it is closed."""

    def __init__(self, browser: "Browser", report: Path, width: int = 1280, scheme: str = "light"):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.report, self.complaints, self.requests = report, [], []

    def __enter__(self) -> "Page":
        page = self.context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(self.report.as_uri())
        page.wait_for_function("document.querySelectorAll('figure.chart:not([hidden]) svg.marks').length"
                               " === document.querySelectorAll('figure.chart:not([hidden])').length")  # fmt: skip
        return page

    def __exit__(self, kind, *_):
        self.context.close()
        if kind is None:
            assert not self.complaints
            assert self.requests == [self.report.as_uri()]


def lines(page: "Page", chart: int = 0) -> int:
    """Colored lines of a learning-curve panel that have any length."""
    paths = page.locator("figure.curve").nth(chart).locator("g.mark-line path")
    return sum(len(path.get_attribute("d") or "") > 10 for path in paths.all())

"""The page's list of contents, made from its headings, so that it names exactly the sections that are there."""

import re
from dataclasses import dataclass

from markupsafe import Markup

_HEADING = re.compile(r'<h2 id="([\w-]+)"(?: data-short="([^"]*)")?>(.*?)</h2>', re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One section: the id of its heading, and its title, or the shorter one that the heading has in `data-short`."""

    id: str
    title: Markup


def contents(body: str) -> tuple[Entry, ...]:
    """The sections of a page.

    Args:
        body: the HTML of all sections, each with a heading `<h2 id="…">`.
    """
    # The titles are HTML that the templates escaped.
    return tuple(Entry(name, Markup(short or title)) for name, short, title in _HEADING.findall(body))  # noqa: S704

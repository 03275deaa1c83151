"""The HTML of a report, read back by tests."""

import json
import re
from html.parser import HTMLParser

from convarium.pages.packing import unpack

_VOID = {"meta", "link", "input", "img", "br", "wbr"}


class Reader(HTMLParser):
    """Tags, attributes and visible text of a page; fails where elements do not nest."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def visible(self) -> str:
        return " ".join(" ".join(self.words).split())


def data_of(text: str) -> dict:
    """What the page's script reads, its tables unpacked."""
    data = json.loads(re.search(r'id="page-data">(.*?)</script>', text, re.S)[1])
    tables = data["tables"].items()
    return data | {"tables": {name: {key: unpack(c) for key, c in table.items()} for name, table in tables}}

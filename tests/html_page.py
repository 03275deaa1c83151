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
        self.in_word = False
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        is_whole = ("class", "whole") in attrs
        self.in_word |= tag == "wbr" or is_whole
        if tag not in _VOID:
            self.open.append("whole" if is_whole else tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        opened = self.open.pop()
        assert tag == ("span" if opened == "whole" else opened)
        self.in_word |= opened == "whole"

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            if self.in_word and self.words:
                data = self.words.pop() + data  # where a long name may be broken, there is no space
            self.words.append(data)
            self.in_word = False

    @property
    def visible(self) -> str:
        return " ".join(" ".join(self.words).split())


def data_of(text: str) -> dict:
    """What the page's script reads, its tables unpacked."""
    data = json.loads(re.search(r'id="page-data">(.*?)</script>', text, re.S)[1])
    tables = data["tables"].items()
    return data | {"tables": {name: {key: unpack(c) for key, c in table.items()} for name, table in tables}}

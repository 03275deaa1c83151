"""docs/reliability.md names tests that exist, and shows the figures of the records, in which no promise is broken."""

import re
from pathlib import Path

from figures import read_figures
from page import MARK, PAGE, ROOT, tables

CHECKS = re.findall(r'^    "(\w+)": \(', (Path(__file__).parent / "__main__.py").read_text("utf-8"), re.MULTILINE)


def test_the_figures_are_those_of_the_records():
    assert PAGE.read_text("utf-8").partition(MARK)[2] == "\n\n" + tables(read_figures())


def test_no_promise_was_broken_and_every_check_has_figures():
    figures = read_figures()
    assert set(figures) == set(CHECKS)
    assert [text for found in figures.values() for text in found["broken"]] == []


def test_every_promise_names_a_test_or_a_check():
    written = PAGE.read_text("utf-8").partition(MARK)[0]
    (promises,) = re.findall(r"## What is promised\n(.*?)\n## ", written, re.DOTALL)
    sentences = re.findall(r"^- .*(?:\n  .*)*", promises, re.MULTILINE)
    assert len(sentences) > 20
    for sentence in sentences:
        targets = re.findall(r"\]\(\.\./(tests/[\w/.]+)\)", sentence)
        named = re.findall(r"`(\w+)`", sentence.rpartition("(")[2])
        assert targets or set(named) & set(CHECKS), sentence
        assert all((ROOT / target).exists() for target in targets)

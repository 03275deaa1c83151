"""The documents are what they promise: short findings, a short glossary, links and paths that lead somewhere."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))


def read(name):
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file(document):
    text = re.sub(r"```.*?```", "", document.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert re.match(r"https?:|mailto:", target) or (document.parent / target).exists(), target


def test_the_map_of_the_files_lists_every_package_and_module_and_nothing_else():
    (tree,) = re.findall(r"```text\n(.*?)```", read("CONTRIBUTING.md"), re.DOTALL)
    package = ROOT / "src" / "convarium"
    listed = re.findall(r"^  ([\w.]+)/? ", tree, re.MULTILINE)
    present = {path.name for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(listed) == sorted(present - {"__init__.py", "__main__.py"})
    for name in re.findall(r"^([\w./]+)/ ", tree, re.MULTILINE):
        assert (ROOT / name).is_dir(), name


def test_the_table_of_where_to_change_what_names_files_that_exist():
    rows = re.findall(r"^\|[^|]*\|([^|]*`[^|]*)\|$", read("CONTRIBUTING.md"), re.MULTILINE)
    paths = [path for row in rows for path in re.findall(r"`([\w/.]+)`", row)]
    assert len(paths) >= 10
    for path in paths:
        assert (ROOT / "src" / "convarium" / path).exists(), path


def test_the_glossary_has_at_most_fifty_terms_each_explained_once():
    terms = re.findall(r"^\| \*\*([^*]+)\*\* \| (.+) \|$", read("docs/glossary.md"), re.MULTILINE)
    assert 30 <= len(terms) <= 50
    assert len({name for name, _ in terms}) == len(terms)
    for name, meaning in terms:
        assert meaning.endswith("."), name
        assert len(meaning.split()) <= 40, name


def findings():
    return [part for part in read("docs/log.md").split("\n\n") if part.startswith("**")]


@pytest.mark.parametrize("finding", findings(), ids=lambda finding: finding.split("**")[1][:40])
def test_a_finding_is_short_and_has_a_title_a_number_and_a_command(finding):
    title, rest = re.fullmatch(r"\*\*(.+?)\*\*(.*)", finding, re.DOTALL).groups()
    *lines, command = finding.strip().rsplit("`", 2)[:-1]
    assert title.endswith(".")
    assert len(finding.split()) <= 60
    assert len(lines[0].strip().splitlines()) <= 3
    assert re.search(r"\d", title + rest)
    assert command
    assert finding.rstrip().endswith("`")


def test_the_log_holds_findings_and_nothing_longer():
    for part in read("docs/log.md").split("\n\n"):
        assert part.startswith(("#", "**", "What was measured")), part


def test_the_translated_readme_has_the_same_figures():
    tables = [re.findall(r"^\|.*@.*\|$", read(name), re.MULTILINE) for name in ("README.md", "README.zh-CN.md")]
    english, chinese = ([re.findall(r"\d[\d.,]*", row) for row in rows] for rows in tables)
    assert english
    assert english == chinese


def test_no_file_holds_the_markers_of_an_unfinished_merge():
    found = subprocess.run(
        ["git", "grep", "-lIE", r"^(<{7}|>{7}|\|{7}) "], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.stdout == ""

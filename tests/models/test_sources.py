"""What is digested is what runs: the source of a user's own network, and when a stored run may import it."""

import os
import py_compile
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convarium.errors import SpecError
from convarium.models.build import build_model
from convarium.models.factories import check_source_unchanged, factory_digest, load_recorded_factory, source_digest
from convarium.models.module_files import is_library
from convarium.models.sources import find_sources
from convarium.records import ImageSpec
from own_modules import forget, write

DIGITS = ImageSpec(1, 8, 8, 10)
WIDTH = """
    from torch import nn
    WIDTH = {width}

    def net(spec):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, spec.classes))
"""
LEAVES_A_MARK = "open('imported', 'w').close()\n"


def test_the_digest_covers_what_the_module_imports_of_the_users_own(folder):
    write(folder / "lab" / "__init__.py", "")
    write(folder / "lab" / "sizes.py", "WIDTH = 5\n")
    write(folder / "blocks.py", "import json\nHEIGHT = 3\n")
    write(folder / "lab" / "deep" / "nets.py", """
        import numpy
        from torch import nn
        from ..sizes import WIDTH
        import blocks

        def net(spec):
            return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, spec.classes))
    """)  # fmt: skip
    write(folder / "unrelated.py", "")
    sources = find_sources("lab.deep.nets")
    assert set(sources.files) == {"lab", "lab.sizes", "lab.deep.nets", "blocks"}
    assert not sources.in_library
    assert not any(name == "blocks" or name.startswith("lab") for name in sys.modules)  # nothing was imported
    digest = source_digest("lab.deep.nets:net")
    assert digest == sources.digest
    assert build_model("lab.deep.nets:net", DIGITS)[1].out_features == 5
    for name, path in {"lab.sizes": folder / "lab" / "sizes.py", "blocks": folder / "blocks.py"}.items():
        assert source_digest("lab.deep.nets:net") == digest
        before = path.read_text()
        path.write_text(before + "# changed\n")
        assert source_digest("lab.deep.nets:net") == digest, name  # of the code that is imported
        with pytest.raises(SpecError, match=f"{path.name} has changed since it was imported"):
            check_source_unchanged("lab.deep.nets:net")
        forget(folder)
        assert source_digest("lab.deep.nets:net") != digest, name
        path.write_text(before)
        forget(folder)
    assert source_digest("lenet") is None


def test_the_bytes_that_are_digested_are_those_that_run_whatever_pycache_says(folder):
    """Python takes a compiled file for fresh if the source has its size and its second of last change."""
    source = folder / "mine.py"
    write(source, WIDTH.format(width=7))
    os.utime(source, (1_000_000, 1_000_000))
    py_compile.compile(str(source))
    write(source, WIDTH.format(width=9))
    os.utime(source, (1_000_000, 1_000_000))
    assert build_model("mine:net", DIGITS)[1].out_features == 9
    assert factory_digest("mine:net") == find_sources("mine").files["mine"].digest


def test_a_file_edited_between_two_imports_has_a_digest_for_each(folder):
    write(folder / "mine.py", WIDTH.format(width=7))
    first = source_digest("mine:net"), build_model("mine:net", DIGITS)[1].out_features
    write(folder / "mine.py", WIDTH.format(width=9))
    still = source_digest("mine:net"), build_model("mine:net", DIGITS)[1].out_features
    forget(folder)
    second = source_digest("mine:net"), build_model("mine:net", DIGITS)[1].out_features
    assert first == still
    assert (first[1], second[1]) == (7, 9)
    assert first[0] != second[0]


def test_a_module_that_is_imported_while_a_network_is_built_is_the_one_that_was_digested(folder):
    write(folder / "sizes.py", "WIDTH = 5\n")
    write(folder / "mine.py", """
        from torch import nn

        def net(spec):
            from sizes import WIDTH
            return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, spec.classes))
    """)  # fmt: skip
    digest = source_digest("mine:net")
    write(folder / "sizes.py", "WIDTH = 6\n")
    assert build_model("mine:net", DIGITS)[1].out_features == 5
    assert source_digest("mine:net") == digest
    with pytest.raises(SpecError, match=r"^sizes\.py has changed since it was imported"):
        check_source_unchanged("mine:net")


def test_a_stored_run_imports_its_network_only_with_the_source_that_it_was_made_with(folder):
    write(folder / "mine.py", WIDTH.format(width=7))
    digest = source_digest("mine:net")
    forget(folder)
    load_recorded_factory("mine:net", digest=digest)
    assert "mine" in sys.modules
    forget(folder)
    write(folder / "mine.py", LEAVES_A_MARK + textwrap.dedent(WIDTH.format(width=7)))
    for recorded, reason in (
        (digest, "the source of mine:net is not the one that the run was made with, so that none of it was run; if"),
        (None, "the record of the run does not say with which source of mine:net it was made, so that none of it"),
    ):
        with pytest.raises(SpecError) as error:
            load_recorded_factory("mine:net(x=1)", digest=recorded)
        assert str(error.value).startswith(reason)
        assert str(error.value).endswith("if you trust it, add --model 'mine:net(x=1)'")
    assert not (folder / "imported").exists()
    load_recorded_factory("lenet", digest=None)


LIBRARIES = ("os:system", "subprocess:run", "this:s", "torch.hub:load", "absent:net", "click:echo")


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_stored_run_imports_nothing_of_python_and_of_installed_packages(folder, name):
    module = name.partition(":")[0]
    known = module in sys.modules
    digest = find_sources(module).digest  # a stranger can compute it, too
    with pytest.raises(SpecError, match=f"^the run's network {name} is no Python file of your own in the"):
        load_recorded_factory(f"{name}(x='touch here')", digest=digest)
    assert (module in sys.modules) == known


def test_a_library_is_told_from_a_users_own_folder(folder):
    assert is_library(Path(pytest.__file__))
    assert is_library(Path(os.__file__))
    assert is_library(folder / ".venv" / "lib" / "site-packages" / "timm" / "__init__.py")
    assert not is_library(folder / "mine.py")


def test_a_source_that_cannot_be_parsed_or_read_is_left_to_the_import(folder):
    write(folder / "mine.py", "def net(:\n")
    assert set(find_sources("mine").files) == {"mine"}
    with pytest.raises(SpecError, match=r"^mine:net fails at mine\.py:1: SyntaxError"):
        source_digest("mine:net")
    (folder / "odd.py").mkdir()
    assert not find_sources("odd").files


NAMES = st.from_regex(
    r"(os|sys|json|numpy|torch|convarium|[a-z]{1,4})([.:_-]{1,2}[a-z_]{0,6}){0,4}:[a-z]{0,4}", fullmatch=True
)


@settings(max_examples=40)
@given(NAMES, st.sampled_from([None, "0" * 64, "own"]))
def test_no_name_in_a_record_imports_anything_or_ends_in_another_error(name, digest):
    before = set(sys.modules)
    recorded = find_sources(name.partition(":")[0]).digest if digest == "own" else digest
    with pytest.raises(SpecError):
        load_recorded_factory(name, digest=recorded)
    assert set(sys.modules) == before

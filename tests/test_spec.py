"""Specs: what is read, that it is read back as it was written, and what is refused."""

import time
import tracemalloc
from keyword import iskeyword

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convarium.errors import SpecError
from convarium.spec import Spec, parse, parse_list, parse_options, unknown

names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63 - 1), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)
keywords = names.filter(lambda name: not iskeyword(name))
specs = st.builds(
    Spec,
    st.one_of(names, st.just("my_package.my_module:factory")),
    st.one_of(st.none(), st.sampled_from(["d2l", "memory-blog", "he2015"])),
    st.lists(values, max_size=2).map(tuple),
    st.dictionaries(keywords, values, max_size=3),
)


def refusal(read, text):
    try:
        read(text)
    except SpecError as error:
        return str(error)
    return None


@settings(deadline=None)
@given(specs)
def test_what_is_written_is_read_back(spec):
    assert parse(str(spec)) == spec


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text):
    for read in (parse, parse_list, parse_options):
        error = refusal(read, text)
        assert error is None or "\n" not in error


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("lenet", Spec("lenet")),
        ("lenet()", Spec("lenet")),
        ("  lenet@d2l ", Spec("lenet", "d2l")),
        ("vgg11@d2l-small", Spec("vgg11", "d2l-small")),
        ("vgg( depth = 11 ,hidden=None)", Spec("vgg", options={"depth": 11, "hidden": None})),
        ("densenet(layers=[6, 6, [1]])", Spec("densenet", options={"layers": (6, 6, (1,))})),
        ("网络:工厂", Spec("网络:工厂")),
        ("pad_crop(4)", Spec("pad_crop", args=(4,))),
        ("a.b.c:factory(x=-0.5)", Spec("a.b.c:factory", options={"x": -0.5})),
        ("lenet(pool='a)b(c@d')", Spec("lenet", options={"pool": "a)b(c@d"})),
    ],
)
def test_a_spec_is_read(text, spec):
    assert parse(text) == spec


def test_the_label_is_the_name_with_its_tag():
    assert (parse("lenet@d2l(pool='max')").label, parse("lenet(pool='max')").label) == ("lenet@d2l", "lenet")


def test_lists_of_specs_and_options_without_a_name():
    assert parse_list("flip, pad_crop(4)") == (Spec("flip"), Spec("pad_crop", args=(4,)))
    assert parse_list("flip, crop(scale=(0.8, 1.0))")[1] == Spec("crop", options={"scale": (0.8, 1.0)})
    assert parse_list("none") == parse_list("") == ()
    assert parse_options("mean=0.1307, std=0.3081") == {"mean": 0.1307, "std": 0.3081}


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (parse, "", "cannot read '': expected a spec like lenet, lenet@d2l"),
        (parse, "a b", "cannot read 'a b'"),
        (parse, "3d", "cannot read '3d'"),
        (parse, "a@b@c", "cannot read 'a@b@c'"),
        (parse, "a(x=1", "cannot read 'a(x=1'"),
        (parse, "a(x=)", "cannot read 'a(x=)': expected Python literals in balanced brackets"),
        (parse, "a(1), b(2)", "expected option=value pairs separated by commas"),
        (parse, "a(1)(2)", "expected option=value pairs separated by commas"),
        (parse, "a(**{'x': 1})", "expected option=value pairs separated by commas"),
        (parse, "a(x=1, x=2)", "an option is given twice in 'a(x=1, x=2)'; give each option once"),
        (parse, "a(pool=avg)", "'avg' in 'a(pool=avg)' is not a literal; write a number, True, False, None or a text"),
        (parse, "a(x=__import__('os'))", "is not a literal"),
        (parse, "a(x=1e999)", "a number in 'a(x=1e999)' is too large; write a finite one"),
        (parse, "a(x=9223372036854775808)", "a number in 'a(x=9223372036854775808)' is too large"),
        (parse, f"a(x={'9' * 4000})", "is too large; write a finite one, and a whole one of at most 64 bits"),
        (parse, "a(x=[{'b': 1e999}])", "is too large"),
        (parse, "a(x={1, 2})", "'{1, 2}' in 'a(x={1, 2})' is not a literal"),
        (parse, "a(x=2j)", "'2j' in 'a(x=2j)' is not a literal"),
        (parse, "a(x=b'2')", "is not a literal"),
        (parse, "a(x=...)", "is not a literal"),
        (parse, "a(x='\0')", "cannot read"),
        (parse, "a(x='\ud800')", "cannot read"),
        (parse, f"a(x={'1, ' * 10**6})", "it has 3,000,005 characters: expected 4,096 characters or fewer"),
        (parse, f"a(x='{chr(1) * 2000}')", "it has 8,007 characters"),
        (parse, f"a(x={'-' * 4000}1)", "it is nested too deeply: expected 50 levels or fewer"),
        (parse, f"a(x={'[' * 60}{']' * 60})", "it is nested too deeply"),
        (parse, f"a(x={'not ' * 1000}1)", "it is nested too deeply"),
        (parse, f"a(x={'(' * 4000})", "expected Python literals in balanced brackets"),
        (parse, "a" + " " * 4000 + "b", "cannot read 'a"),
        (parse_list, f"flip, {'-' * 4000}1", "it is nested too deeply"),
        (parse_list, "flip, " * 1000, "it has 6,000 characters"),
        (parse_options, f"mean={'[' * 4080}", "cannot read"),
        (parse_options, f"mean={'1, ' * 10**6}", "it has 3,000,005 characters"),
        (parse_list, "flip, 3", "cannot read '3' in 'flip, 3': expected name or name(value, …)"),
        (parse_list, "flip, p=4", "cannot read 'flip, p=4': expected names, or name(value, …), separated by commas"),
        (parse_options, "0.5, std=1", "cannot read '0.5, std=1': expected option=value pairs separated by commas"),
    ],
)
def test_what_is_refused_in_a_short_sentence(read, text, message):
    with pytest.raises(SpecError) as error:
        read(text)
    assert message in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "inner", ["'a' + ", "1 if 1 else ", "1 + ", "x.", "1 < ", "lambda: ", "a(x=", "[1 for x in ", "-"]
)
def test_a_hostile_spec_is_refused_at_once_and_in_little_memory(inner):
    text = f"a(x={inner * (4080 // len(inner))}1)"
    tracemalloc.start()
    start = time.process_time()
    assert refusal(parse, text)
    seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 0.5  # measured: 0.02 s
    assert peak < 8 * 2**20  # measured: at most 1.5 MiB


def test_an_escape_in_quotes_that_python_does_not_know_is_read_without_a_warning():
    assert parse(r"a(x='\d')").options == {"x": r"\d"}


def test_a_spec_that_is_changed_changes_no_other():
    parse("lenet(pool='avg')").options["pool"] = "max"
    assert parse("lenet(pool='avg')").options == {"pool": "avg"}


def test_lists_in_dictionaries_become_tuples_too():
    assert parse("a(x={'b': [1, [2]]})").options == {"x": {"b": (1, (2,))}}


def test_reading_runs_nothing(tmp_path):
    target = tmp_path / "made"
    with pytest.raises(SpecError):
        parse(f"a(x=open({str(target)!r}, 'w'))")
    assert not target.exists()


def test_an_unknown_name_gets_its_neighbours_or_all_names():
    assert str(unknown("model", "lenett", ["lenet", "nin"])) == "unknown model 'lenett'; did you mean 'lenet'?"
    assert str(unknown("model", "mlp", ["memory_mlp", "nin"])).endswith("did you mean 'memory_mlp'?")
    assert str(unknown("model", "xyz", ["lenet", "nin"])) == "unknown model 'xyz'; choose one of lenet, nin"
    assert str(unknown("model", "nim", ["nin"], hint="(all of them)")).endswith("did you mean 'nin'? (all of them)")

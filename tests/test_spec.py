"""Specs: what is read, that it is read back as it was written, and what is refused."""

from keyword import iskeyword

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convarium.errors import SpecError
from convarium.spec import Spec, parse, parse_list, parse_options, unknown

names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)
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
        (parse_list, "flip, 3", "cannot read '3' in 'flip, 3': expected name or name(value, …)"),
        (parse_list, "flip, p=4", "cannot read 'flip, p=4': expected names, or name(value, …), separated by commas"),
        (parse_options, "0.5, std=1", "cannot read '0.5, std=1': expected option=value pairs separated by commas"),
    ],
)
def test_what_is_refused(read, text, message):
    with pytest.raises(SpecError) as error:
        read(text)
    assert message in str(error.value)


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

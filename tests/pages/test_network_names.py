"""Names of networks in little room."""

import itertools

import pytest

from convarium.pages.names import LONGEST_NAME, breakable, shortened_names, shortening_expression, wrapped_name
from html_page import Reader

NAMES = (
    "lenet",
    "mnist_resnet(activation='leaky_relu', init='kaiming_normal_fan_out')",
    "densenet(depth=40, growth=12, compression=0.5)",
    "my_package.my_module:factory(width=3)",
    "resnet@uva",
    "<b>&x",
)


def test_shortened_names_differ_and_keep_both_ends():
    names = [*NAMES, "residual_cnn(activation='leaky_relu', residual=False)", "residual_cnn(residual=False)"]
    short = shortened_names(names)
    assert len(set(short)) == len(names)
    for name, written in zip(names, short, strict=True):
        assert written == name or (len(written) == LONGEST_NAME and name.startswith(written[:8]))
    assert short[-2:] == names[-2:]  # the same in short
    assert shortening_expression(["lenet"]) == "datum.label"
    assert "…" in shortening_expression(names).encode().decode("unicode_escape")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_broken_between_its_words_alone(name):
    lines = wrapped_name(name, 12)
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    assert all(line[-1:] in "_=:/.," or after[:1] in "(@" for line, after in itertools.pairwise(lines))
    assert wrapped_name(name, 100) == [name]
    assert Reader(str(breakable(name))).visible == name

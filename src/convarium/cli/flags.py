"""Recipe flags, generated from the Recipe itself: nothing is typed twice."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import docstring_parser
import tyro

from convarium.recipes.recipe import Recipe

_HELP = {
    p.arg_name: " ".join((p.description or "").split()) for p in docstring_parser.parse(Recipe.__doc__ or "").params
}


def recipe_flags(*, without: Iterable[str]) -> Any:
    """A dataclass of the recipe's fields, less some, for tyro to make flags of."""
    left_out = set(without)
    fields = [
        (f.name, Annotated[f.type, tyro.conf.arg(help=_HELP[f.name])], f.default)
        for f in dataclasses.fields(Recipe)
        if f.name not in left_out
    ]
    return dataclasses.make_dataclass("RecipeFlags", fields, frozen=True, kw_only=True)


def given_fields(flags: Any, argv: Sequence[str]) -> dict[str, Any]:
    """The fields that stand on the command line, those included that repeat the default."""
    named = {word.partition("=")[0].removeprefix("--").replace("-", "_") for word in argv if word.startswith("--")}
    named |= {name.removeprefix("no_") for name in named}
    return {f.name: getattr(flags, f.name) for f in dataclasses.fields(flags) if f.name in named}

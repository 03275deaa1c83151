"""The words of the page, which lie in one JSON file for each language."""

import json
import re
import string
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


def words_of(language: Language) -> dict[str, Any]:
    """The texts of the page by name; "operations" holds the names of the operations.

    A text with a number {n} has several forms where the language's grammar asks for them: {"one": …, "other": …}, named
    as Unicode's plural rules name them, which the page applies through `Intl.PluralRules`.
    """
    file = resources.files("convarium.inference.playground") / "page" / f"{language}.json"
    words: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return words


def filled(text: str | Mapping[str, str], **values: str | int) -> str:
    """A text with its blanks filled, in the form that goes with `n`."""
    form = text if isinstance(text, str) else text["one" if values["n"] == 1 else "other"]
    for name, value in values.items():
        form = form.replace("{" + name + "}", f"{value:,}" if isinstance(value, int) else value)
    return form


def title_of(words: Mapping[str, Any], networks: Sequence[str]) -> str:
    """The title of a page of some networks: the first three are named where there are five or more."""
    listed = networks if len(networks) < 5 else [*networks[:3], filled(words["more"], n=len(networks) - 3)]
    names = words["separator"].join(listed[:-1]) + words["last_separator"] * (len(listed) > 1) + listed[-1]
    title = filled(words["title"], networks=names)
    return re.sub(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])", "", title)  # Chinese has none between its own characters


def disguise(words: Mapping[str, Any], number: int) -> str:
    """What the network of a number, from 0, is called while its name is hidden: "Network A"."""
    letters = string.ascii_uppercase
    letter = letters[number % len(letters)] + (str(number // len(letters)) if number >= len(letters) else "")
    return filled(words["disguise"], letter=letter)

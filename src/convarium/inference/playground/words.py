"""The words of the page, which lie in one JSON file for each language."""

import json
from importlib import resources
from typing import Any, Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


def words_of(language: Language) -> dict[str, Any]:
    """The texts of the page by name; "operations" holds the names of the operations."""
    file = resources.files("convarium.inference.playground") / "page" / f"{language}.json"
    words: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return words

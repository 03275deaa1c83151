"""Texts for a terminal: no character that moves the cursor, only those of its encoding; and words for its shell."""

import codecs
import json
import re
import shlex
import sys
from collections.abc import Iterable

HANDLER = "convarium"
"""The name under which `register_handler` makes `encodable` an error handler of Python's text streams."""

_HIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"  # control characters, the escape character among them; not the line feed
    "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"  # invisible, or turning the text around
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f]"  # half a character; invisible tags
)

_SUBSTITUTES = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "•": "*", "·": "*", "∘": "o", "±": "+/-", "×": "x", "⊗": "x", "÷": "/",
    "→": "->", "←": "<-", "↑": "^", "↓": "v", "…": "...", "≤": "<=", "≥": ">=", "≈": "~", "≠": "!=", "√": "sqrt ",
    "∞": "inf", "½": "1/2", "¼": "1/4", "¾": "3/4", "²": "^2", "³": "^3", "¹": "^1", "µ": "u", "μ": "u", "σ": "sigma",
    "‘": "'", "’": "'", "“": '"', "”": '"', "†": "+", "‡": "++", "§": "section ", "¶": "paragraph ",
    "─": "-", "━": "-", "═": "=", "│": "|", "┃": "|", "├": "+", "└": "+", "┌": "+", "┐": "+", "┘": "+", "┤": "+",
    "┬": "+", "┴": "+", "┼": "+", "╸": "-", "╺": "-", "╴": "-", "╶": "-",
}  # fmt: skip
"""What stands for a character where an encoding lacks it; any other is escaped as in a Python literal."""


def visible(text: str) -> str:
    r"""The text with control characters, and those that hide or reorder others, written as `\x1b` or `\u202e`.

    Line feeds stay. Names in a record, a folder or a file could otherwise give orders to the terminal that shows them.
    """
    return _HIDDEN.sub(lambda found: _escaped(found[0]), text)


def one_line(text: object) -> str:
    r"""`visible` for a name within a line: a line feed is written as `\n`, too."""
    return visible(str(text)).replace("\n", "\\n")


def visible_json(text: str) -> str:
    """JSON in which texts have no character that `visible` would escape: JSON has an escape for each."""
    return _HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def encodable(text: str, encoding: str | None) -> str:
    """The text in characters that an encoding has: − becomes -, ± becomes +/-, 中 becomes an escape.

    Args:
        text: any text.
        encoding: its name; None: UTF-8.
    """
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return "".join(_encodable(character, encoding or "utf-8") for character in text)
    except LookupError:  # an encoding that Python does not know
        return text.encode("ascii", "backslashreplace").decode()
    return text


def register_handler() -> None:
    """Makes `errors=HANDLER` write what an encoding lacks as `encodable` does."""
    codecs.register_error(HANDLER, _handle)


def prepare_output() -> None:
    """Makes standard output and standard error write whatever their encoding lacks as `encodable` does."""
    register_handler()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a notebook's stream has none
        if reconfigure is not None:
            reconfigure(errors=HANDLER)


def _handle(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_substitute, error.object[error.start : error.end])), error.end


def _encodable(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return _substitute(character)
    return character


def _substitute(character: str) -> str:
    return _SUBSTITUTES.get(character) or _escaped(character)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii").replace("\\t", "\\x09")


def shell_word(word: str) -> str:
    """A word of a command line as one would write it: "lenet(pool='avg')", in double quotes where they do no harm."""
    is_plain = not set(word) & set('"$`\\!%\n') and word != shlex.quote(word)
    return f'"{word}"' if is_plain else shlex.quote(word)


def command_line(words: Iterable[str]) -> str:
    """The words of a command as one line for a shell."""
    return " ".join(map(shell_word, words))

"""Data that stand in a page for its script."""

import json
from typing import Any

from markupsafe import Markup


def script_json(value: Any) -> Markup:
    """JSON that cannot end its script element, whatever the names of classes and networks are."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  (no character that HTML could interpret is left)

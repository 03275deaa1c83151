"""No text gives orders to a terminal, and every encoding can write every text."""

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convarium.characters import HANDLER, encodable, one_line, register_handler, visible, visible_json

ENCODINGS = ("ascii", "latin-1", "gbk", "cp1252", "cp936", "utf-8")
ANY_TEXT = st.text(st.characters(exclude_categories=[]))
REORDERING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07\x1b[2Jname", r"\x1b]0;title\x07\x1b[2Jname"),
        ("cat\rdog\x9b1m", r"cat\rdog\x9b1m"),
        ("a\u202egnp.exe\u2066", r"a\u202egnp.exe\u2066"),
        ("tab\there\x7f\x08\udc9b", r"tab\x09here\x7f\x08\udc9b"),
        ("Größe 中文 − ± × 👩\u200d🔬\nline", "Größe 中文 − ± × 👩\u200d🔬\nline"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert visible(text) == shown
    assert one_line(text) == shown.replace("\n", "\\n")


@given(ANY_TEXT)
def test_no_control_character_and_no_reordering_is_left(text):
    for character in visible(text).replace("\n", ""):
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"), ascii(character)
        assert unicodedata.bidirectional(character) not in REORDERING, ascii(character)
    assert json.loads(visible_json(json.dumps(text, ensure_ascii=False))) == text


@given(ANY_TEXT, st.sampled_from(ENCODINGS))
def test_every_encoding_can_write_every_text(text, encoding):
    written = encodable(text, encoding)
    written.encode(encoding)
    register_handler()
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=HANDLER, newline="")
    stream.write(text)
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding) == written  # type: ignore[attr-defined]
    if text.isascii():
        assert written == text


def test_signs_have_their_plain_forms_and_other_characters_are_escaped():
    assert encodable("−3 ± 0.2 → 2×2 • ½ … └─", "ascii") == "-3 +/- 0.2 -> 2x2 * 1/2 ... +-"
    assert encodable("−3 ± 0.2 × 中", "cp1252") == r"-3 ± 0.2 × \u4e2d"
    assert encodable("中 − ×", None) == "中 − ×"
    assert encodable("−中", "no-such-encoding") == r"\u2212\u4e2d"

"""The two fields of a recipe about weights that are there before training: what a run starts from, what it freezes."""

import re

from convarium.errors import RecipeError

_WITH_DIGEST = re.compile(r"(?P<name>.+) sha256:(?P<digest>[0-9a-f]{64})", re.DOTALL)
_PREFIX = re.compile(r"[^\s.,]+(\.[^\s.,]+)*")
_SHOWN = 8
"""Digits of a digest that people are shown, as many as of a run's key."""


def split_start(start_from: str) -> tuple[str, str | None]:
    """The name of the weights in the field `start_from`, and their digest; None where they have not been read yet.

    "lenet.pt" has none, and "lenet.pt sha256:…" with 64 digits has one.
    """
    match = _WITH_DIGEST.fullmatch(start_from)
    return (match["name"], match["digest"]) if match else (start_from, None)


def with_digest(name: str, digest: str) -> str:
    """The field `start_from` of weights that were read: "lenet.pt sha256:…"."""
    return f"{name} sha256:{digest}"


def start_digest(start_from: str) -> str:
    """The digest of the weights that a recipe starts from, which is what its key covers.

    Raises:
        RecipeError: they have not been read yet.
    """
    name, digest = split_start(start_from)
    if digest is None:
        hint = "train it by convarium.train, or read them first: convarium.training.starting.read_start"
        raise RecipeError(f"the digest of the weights {name!r} is not known", hint=hint)
    return digest


def describe_start(start_from: str | None) -> str:
    """The weights that a run starts from, for people: "lenet.pt (SHA-256 0123abcd…)"."""
    if start_from is None:
        return "random weights"
    name, digest = split_start(start_from)
    return name if digest is None else f"{name} (SHA-256 {digest[:_SHOWN]}…)"


def describe_beginning(start_from: str | None, freeze: str | None) -> str | None:
    """What a run began with besides random weights, and what was not trained; None where there is neither."""
    parts = [] if start_from is None else [f"started from the weights of {describe_start(start_from)}"]
    parts += [] if freeze is None else [f"the parameters under {freeze} were frozen"]
    return "; ".join(parts) or None


def parse_freeze(freeze: str) -> tuple[str, ...]:
    """The prefixes in the field `freeze`, sorted, without those that another one covers.

    Raises:
        RecipeError: there is none, or one is no beginning of a parameter's name.
    """
    prefixes = [prefix.strip() for prefix in freeze.split(",")]
    for prefix in prefixes:
        if not _PREFIX.fullmatch(prefix):
            raise RecipeError(
                "freeze is not a list of the beginnings of parameter names",
                expected='such as "stem" or "stem, blocks.0"',
                received=freeze,
            )
    return tuple(sorted({p for p in prefixes if not any(is_under(p, other) for other in prefixes if other != p)}))


def is_under(name: str, prefix: str) -> bool:
    """Whether a parameter or module is the one that a prefix names, or part of it: blocks.1.0 of blocks.1, not of
    blocks.10.
    """
    return name == prefix or name.startswith(f"{prefix}.")

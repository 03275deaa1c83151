"""The command line: thin. Each command of `commands` calls public functions and shows what they return."""

import contextlib
import functools
import inspect
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib import metadata

import tyro

from convarium.cli.commands import COMMANDS
from convarium.cli.terminal import note
from convarium.errors import ConvariumError
from convarium.spec import unknown

DESCRIPTION = """Trains the classic convolutional networks side by side, fairly and fast,
and says which differences are real.

Begin with: convarium compare lenet residual_cnn"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0, 2 for a wrong call, 1 for a failure, 130 after Ctrl-C."""
    try:
        words = sys.argv[1:] if argv is None else list(argv)
        command = _parse(words)
        if command is not None:
            command(argv=tuple(words)) if "argv" in inspect.signature(command.func).parameters else command()
    except ConvariumError as error:
        note(f"convarium: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        note("convarium: stopped; what is finished is kept, and the same command goes on from here")
        return 130
    except BrokenPipeError:  # `convarium list | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a full disk, a folder that may not be written
        note(f"convarium: {error.strerror or error}: {error.filename}; choose another place to write to")
        return 1
    return 0


def _parse(argv: list[str]) -> "functools.partial[None] | None":
    """The command with its arguments, or None where help or the version was asked for and shown."""
    if argv == ["--version"]:
        sys.stdout.write(f"convarium {metadata.version('convarium')}\n")
        return None
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        raise unknown("command", argv[0], COMMANDS, hint="(convarium --help)")
    shown, complaint = io.StringIO(), io.StringIO()
    width = os.environ.get("COLUMNS")
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(complaint):
            if argv and not {"-h", "--help"} & set(argv):
                os.environ["COLUMNS"] = "1000"  # a complaint that is not folded can be read back
            command: functools.partial[None] = tyro.extras.subcommand_cli_from_dict(
                COMMANDS, args=argv or ["--help"], prog="convarium", description=DESCRIPTION
            )
            return command
    except SystemExit as stop:
        if not stop.code:
            sys.stdout.write(re.sub(r"\{None\}\|(\{.*?\}|\S+)", _without_none, shown.getvalue()))
            return None
        raise ConvariumError(_one_sentence(complaint.getvalue(), argv[0] if argv else "")) from None
    finally:
        os.environ.pop("COLUMNS", None) if width is None else os.environ.update(COLUMNS=width)


def _without_none(found: re.Match[str]) -> str:
    """The kind of a flag that may be left out, for `{None}|INT`; as wide as it was, for the column beside it."""
    return found[1].strip("{}").ljust(len(found[0]))


def _one_sentence(boxed: str, command: str) -> str:
    """Tyro's boxed complaint about a call of a command, as one sentence with a way out."""
    lines = [re.sub(r"[─│╭╮╰╯]", " ", line).strip() for line in boxed.splitlines()]
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line and not set(line) - set("- "):
            blocks.append([])
        elif line:
            blocks[-1].append(line)
    parts = [" ".join(block) for block in blocks[1:] if block]
    kept = [part for part in parts if not part.startswith(("Argument helptext", "For full helptext", "Full helptext"))]
    sentence = "; ".join(" ".join(part.split()).rstrip(".") for part in kept) or "the call cannot be read"
    sentence = re.sub(r" \(applied to [^)]*\)|(?<=\S) Arguments are applied to .*?ordering can matter", "", sentence)
    sentence = re.sub(r"[Nn]o type matching (.+?) could be instantiated from (\[.*?\]).*", _expected, sentence)
    sentence = re.sub(r"; Perhaps you meant: (.*)", lambda found: _nearest(found[1], command), sentence)
    help_of = f"convarium {command} --help" if command in COMMANDS else "convarium --help"
    return f"{sentence[0].lower()}{sentence[1:]}; see {help_of}"


def _nearest(proposed: str, command: str) -> str:
    """The first flag among tyro's proposals that belongs to the command; they are of all commands."""
    flags = re.findall(r"(--[\w-]+).*?((?: in convarium \w+ --help)+)", proposed)
    own = [flag for flag, where in flags if f" in convarium {command} --help" in where]
    return f"; did you mean {own[0]}?" if own else ""


def _expected(found: re.Match[str]) -> str:
    """Tyro's word on a value that fits none of several types, without its types in brackets."""
    kinds = found[1].replace("{None}|", "").strip("{}")
    return f"expected {kinds.lower().replace('|', ' or ')}, received {found[2]}"

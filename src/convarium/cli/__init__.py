"""The command line: it parses a call, calls one verb of the package, and prints what the verb returns.

Each command's module is imported when the command is called or its help is asked for, so that help, version,
completion and complaints answer at once. `main` runs one call.
"""

import difflib
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from convarium.characters import encodable
from convarium.cli.terminal import log_as_notes, note
from convarium.errors import ConvariumError
from convarium.spec import unknown
from convarium.training.stopping import TerminatedError, interruptible

__all__ = ["COMMANDS", "main"]


class _Entry(NamedTuple):
    module: str
    command: str
    summary: str


COMMANDS = {
    "list": _Entry("inspecting", "list_", "Lists networks, presets, data sets, studies or runs."),
    "describe": _Entry("inspecting", "describe", "Shows a network layer by layer."),
    "train": _Entry("single_run", "train", "Trains one network once."),
    "compare": _Entry("comparing", "compare", "Trains networks × seeds on equal terms and compares."),
    "run": _Entry("studies", "run", "Carries out a study: a built-in one, or your own file."),
    "reproduce": _Entry("studies", "reproduce", "Checks published claims: list, run, verdict."),
    "results": _Entry("reporting", "results", "Prints a study's table and verdicts."),
    "report": _Entry("reporting", "report", "Writes a study's report: one HTML file, or figures."),
    "play": _Entry("playing", "play", "Writes a page in which a study's networks answer."),
    "merge": _Entry("store", "merge", "Copies the runs and studies of other stores into one."),
    "remove": _Entry("store", "remove", "Removes studies and runs, after it has asked."),
    "evaluate": _Entry("single_run", "evaluate", "Scores a stored run or a weights file on a split."),
    "predict": _Entry("predicting", "predict", "Answers images: classes and probabilities."),
    "export": _Entry("exporting", "export", "Writes a run as an ONNX file, and checks it."),
    "data": _Entry("data_sets", "data", "Finds, downloads and verifies data sets."),
    "bench": _Entry("benchmarking", "bench", "Times this machine against the sources' own loops."),
}
"""Name → where the command is and what it does, in the order in which help lists them."""

_COMPLETE = "_CONVARIUM_COMPLETE"
"""The environment variable by which a shell asks for completion; the name is click's convention."""


class _Formatter(click.HelpFormatter):
    """Formats help in characters that standard output can encode; click would change the encoding instead."""

    def getvalue(self) -> str:
        return encodable(super().getvalue(), sys.stdout.encoding)


class _Context(click.Context):
    formatter_class = _Formatter


class _LazyGroup(click.Group):
    """Imports a command's module when the command is needed; click makes a group lazy by these methods."""

    context_class = _Context

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            if ctx.resilient_parsing:
                return None
            raise unknown("command", cmd_name, COMMANDS, hint="(convarium --help)")
        entry = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"convarium.cli.{entry.module}"), entry.command)
        command.context_class = _Context
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)  # the two options stand in the text: all is to fit one screen

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        names = [CompletionItem(n, help=e.summary) for n, e in COMMANDS.items() if n.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(
    cls=_LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 80,
        "token_normalize_func": lambda name: name.replace("_", "-"),  # --batch_size is --batch-size
    },
)
@click.version_option(package_name="convarium", message="convarium %(version)s")
def convarium() -> None:
    """Trains the classic convolutional networks side by side, fairly and fast,
    and says which differences are real.

    \b
    Begin with: convarium compare lenet residual_cnn   (more: compare --help)
    """  # noqa: D301 - click keeps the lines of a paragraph that begins with this character


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0, 2 for a wrong call, 1 for a failure, 130 after Ctrl-C, 143 after
    a signal to terminate, and 141 if nobody reads its notes any more.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        if instruction := os.environ.get(_COMPLETE):
            from click.shell_completion import shell_complete

            return shell_complete(convarium, {}, "convarium", _COMPLETE, instruction)
        with (
            convarium.make_context("convarium", words.copy() or ["--help"], obj=words) as context,
            log_as_notes(),
            interruptible(),
        ):
            if not {"-h", "--help"} & set(words):
                _check_working_folder()  # PyTorch ends the process without one
            convarium.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        note(f"convarium: {_explained(error, words)}")
        return error.exit_code
    except ConvariumError as error:
        note(f"convarium: {error}")
        return error.exit_code
    except KeyboardInterrupt as interruption:
        goes_on = bool(_TRAINING & set(words[:1]))
        end = "; finished runs are in the store, and the same command continues from there" if goes_on else ""
        note(f"convarium: stopped{end}")
        return interruption.exit_code if isinstance(interruption, TerminatedError) else 130
    except BrokenPipeError:
        return _code_without_reader()
    except OSError as error:  # a full disk, a folder that may not be written
        note(f"convarium: {_explained_by_system(error)}")
        return 1
    return 0


def _code_without_reader() -> int:
    """The exit code where nobody reads the output any more: 0 if that ended the answer, 141 if it ended the work.

    Of `convarium list | head` the reader has what it wanted. Where notes and progress have no reader, as in
    `convarium compare … 2>&1 | head`, training has ended before its last epoch; 141 is what a shell reports of a
    program that such a pipe has ended.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # what could not be written is still waiting
        os.dup2(nowhere, sys.stdout.fileno())
        return 0
    os.dup2(nowhere, sys.stderr.fileno())
    return 141


_TRAINING = {"train", "compare", "run", "reproduce"}
"""Commands that go on where they were stopped."""

_WAYS_OUT = {
    errno.ENOSPC: "free some of it, or choose another place to write to",
    errno.EDQUOT: "free some of it, or choose another place to write to",
    errno.EROFS: "choose another place to write to",
    errno.ENAMETOOLONG: "use a shorter one",
    errno.EEXIST: "a file is in the way: check the path",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "it needs a folder: check the path",
    errno.EISDIR: "it needs a file: check the path",
    errno.ELOOP: "check the links on the path",
    errno.EMFILE: "close other programs, or raise the limit (ulimit -n)",
    errno.ENFILE: "close other programs, or raise the limit",
}


def _explained_by_system(error: OSError) -> ConvariumError:
    """The system's complaint about a file as one sentence with a way out."""
    wrong = error.strerror or str(error) or type(error).__name__
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes, os.PathLike)) else None
    if error.errno in (errno.EACCES, errno.EPERM):
        unreadable = path is not None and os.path.exists(path) and not os.access(path, os.R_OK)  # noqa: PTH110 - any text
        hint = "check its permissions" if unreadable else "choose another place to write to"
    else:
        hint = _WAYS_OUT.get(error.errno or 0, "check the disk and the path")
    return ConvariumError(wrong if path is None else f"{wrong}: {path}", hint=hint)


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise ConvariumError("the working folder does not exist any more", hint="change to another: cd") from error


def _explained(error: click.UsageError, words: Sequence[str]) -> ConvariumError:
    """Click's complaint about a call as one sentence with a way out."""
    called = f"convarium {words[0]}" if words and words[0] in COMMANDS else "convarium"
    see = f"see {called} --help"
    text = " ".join(error.message.split()).rstrip(".")
    if isinstance(error, click.NoSuchOption):
        parameters = error.ctx.command.params if error.ctx else []
        flags = [flag for parameter in parameters for flag in (*parameter.opts, *parameter.secondary_opts)]
        longer = [flag for flag in flags if flag.startswith(error.option_name)]
        near = longer or difflib.get_close_matches(error.option_name, [f for f in flags if f.startswith("--")], 1, 0.65)
        hint = f"did you mean {near[0]}? {see}" if near else see
        return ConvariumError(f"unknown option {error.option_name}", hint=hint)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return ConvariumError(f"{called} needs {error.param.human_readable_name}", hint=see)
    if isinstance(error, click.BadParameter) and error.param is not None:
        name = error.param.opts[0] if isinstance(error.param, click.Option) else error.param.human_readable_name
        return ConvariumError(f"{name}: {text}", hint=see)
    return ConvariumError(text[:1].lower() + text[1:], hint=see)

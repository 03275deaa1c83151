"""Arguments and flags that several commands share, and the flags that are generated from the fields of `Recipe`."""

import dataclasses
import inspect
import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click

from convarium.cli import completion
from convarium.recipes.recipe import Recipe
from convarium.spec import unknown

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]
Workers = int | Literal["auto"] | None


def switch(flag: str, name: str | None = None, *, default: bool = False, help: str) -> Decorator[Any]:  # noqa: A002
    """A pair of flags, `--flag` and `--no-flag`.

    Args:
        flag: its name without the dashes.
        name: of the Python argument; None: that of the flag.
        default: the value where neither is given.
        help: a sentence.
    """
    return click.option(
        f"--{flag}/--no-{flag}", name or flag.replace("-", "_"), default=default, show_default=default, help=help
    )


def one_of(name: str, choices: Iterable[str]) -> dict[str, Any]:
    """The settings of an option or argument that takes one of a few words: type, metavar and shell completion."""
    known = tuple(choices)

    def choice(text: str) -> str:
        if text not in known:
            raise unknown(name, text, known)
        return text

    return {"type": choice, "metavar": "|".join(known), "shell_complete": completion.among(known)}


def optional(kind: type[int] | type[float] | type[str]) -> Callable[[str], int | float | str | None]:
    """The type of an option that takes a number or a text, or `none`."""

    def value(text: str) -> int | float | str | None:
        try:
            return None if text.lower() == "none" else kind(text)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not a valid {_KINDS[kind].lower()}, nor none.") from None

    return value


_KINDS = {int: "INTEGER", float: "FLOAT", str: "TEXT"}


def _workers(text: str) -> int | str:
    """The type of `--workers`."""
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a valid integer, nor auto.") from None


_PATH = click.Path(path_type=Path)

store = click.option("--store", type=_PATH, default=Path(), metavar="DIR", help="Folder that holds runs/ and studies/.")
data_dir = click.option("--data-dir", type=_PATH, metavar="DIR", help="Folder that is searched for data sets first.")
device = click.option(
    "--device", metavar="NAME", help="Device: cpu, cuda, cuda:1 or mps; by default CUDA if it is here, else the CPU."
)
as_json = switch("json", "as_json", help="Print JSON, for machines.")
live = switch("live", help="Write the report at once; opened in a browser, it follows the training.")
quick = switch("quick", help="A reduced study within minutes: it shows how the study works and answers nothing.")
stack = switch(
    "stack", help="Train each network's seeds at the same time: side by side on a CPU, as one model on CUDA."
)
workers = click.option(
    "--workers",
    type=_workers,
    metavar="N|auto",
    help="Processes among which runs, cores and GPUs are divided; auto: one a GPU, or a core. By default this process "
    "trains one run after another.",
)
executor = click.option(
    "--executor",
    **one_of("executor", ["ray"]),
    help="Train on a Ray cluster; --workers is then the most runs at a time. By default this machine trains.",
)
address = click.option(
    "--address",
    metavar="HOST:PORT",
    help="Ray cluster; by default the one of this machine, which is started if needed.",
)
cpus_per_run = click.option(
    "--cpus-per-run",
    type=float,
    metavar="FLOAT",
    help="With --executor ray: cores and threads of each run; by default 1.",
)
gpus_per_run = click.option(
    "--gpus-per-run",
    type=float,
    metavar="FLOAT",
    help="With --executor ray: GPUs of each run, or the share of one; by default 1 if there are any.",
)


def _checked_minutes(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:  # noqa: ARG001
    """Refuses `--minutes` before anything is read."""
    if value is not None:
        from convarium.workspace.execution import check_minutes

        check_minutes(value)
    return value


def checked_seeds(context: click.Context, parameter: click.Parameter, value: int | None) -> int | None:  # noqa: ARG001
    """Refuses `--seeds` before anything is read."""
    if value is not None:
        from convarium.studies.study import check_seeds

        check_seeds(value)
    return value


minutes = click.option(
    "--minutes",
    type=float,
    callback=_checked_minutes,
    metavar="FLOAT",
    help="Stop after so many minutes, with checkpoints and exit code 75; the same command goes on from there.",
)


def _every(text: str) -> int:
    """The type of `--keep-weights`."""
    try:
        return int(text.removeprefix("every="))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not every=N, with a number of epochs.") from None


keep_weights = click.option(
    "--keep-weights",
    type=_every,
    metavar="every=N",
    help="Also keep the initial weights and those after every N epochs, which play --epochs shows.",
)


def _engine_setting(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keeps a setting of Lightning for `_engine`, which is called after it."""
    context.meta.setdefault(_ENGINE, {})[parameter.name] = value


def _engine(context: click.Context, _: click.Parameter, value: str) -> object:
    from convarium.training.engines import chosen_engine

    return chosen_engine(value, context.meta[_ENGINE])  # type: ignore[arg-type]  # any text is refused there


_ENGINE = "convarium.engine"
_setting: dict[str, Any] = {"is_eager": True, "expose_value": False, "callback": _engine_setting}


def engine(command: F) -> F:
    """Adds `--engine` and its settings; the command gets them as one argument, `engine`."""
    for option in (
        click.option(
            "--strategy",
            metavar="NAME",
            help="Lightning's strategy: auto, ddp or ddp_find_unused_parameters_true.",
            **_setting,
        ),
        click.option("--nodes", type=int, help="Machines for a run, with --engine lightning.", **_setting),
        click.option(
            "--devices", type=int, help="Devices of each machine for a run, with --engine lightning.", **_setting
        ),
        click.option(
            "--engine",
            metavar="native|lightning",
            default="native",
            show_default=True,
            shell_complete=completion.among(("native", "lightning")),
            callback=_engine,
            help="What carries training steps out: Convarium's own loop, or PyTorch Lightning, on several devices too.",
        ),
    ):
        command = option(command)
    return command


exact = switch(
    "exact",
    help="Refuse runs that were begun in another environment (threads, kernels, torch, device, code) instead of "
    "marking them as mixed.",
)
preset = click.option(
    "--preset",
    metavar="TAG",
    shell_complete=completion.recipe_presets,
    help="Train as a source does: memory-blog, d2l, uva, …; flags given beside it take precedence.",
)


def recipe_flags(*, without: Collection[str]) -> Decorator[Any]:
    """A decorator that adds a flag for each field of `Recipe`, in their order, with the help of its docstring.

    Args:
        without: fields that get no flag.
    """
    help_of, kinds = attribute_help(Recipe), get_type_hints(Recipe)

    def add(command: Any) -> Any:
        for field in reversed(dataclasses.fields(Recipe)):
            if field.name not in without:
                command = _recipe_flag(field.name, kinds[field.name], field.default, help=help_of[field.name])(command)
        return command

    return add


def _recipe_flag(name: str, kind: Any, default: Any, *, help: str) -> Decorator[Any]:  # noqa: A002
    flag = name.replace("_", "-")
    if kind is bool:
        return switch(flag, default=default, help=help)
    settings: dict[str, Any] = {"default": default, "show_default": default is not None, "help": help}
    if get_origin(kind) is Literal:
        settings |= one_of(name, get_args(kind))
    elif get_origin(kind) in (types.UnionType,):
        own = get_args(kind)[0]
        settings |= {"type": optional(own), "metavar": _KINDS[own]}
    else:
        settings |= {"type": kind}
    if name == "dataset":
        settings |= {"metavar": "NAME", "shell_complete": completion.datasets}
    return click.option(f"--{flag}", **settings)


def given_fields(fields: Mapping[str, Any], context: click.Context) -> dict[str, Any]:
    """Those recipe fields that stand on the command line, including those that repeat the default."""
    given = click.core.ParameterSource.COMMANDLINE
    return {name: value for name, value in fields.items() if context.get_parameter_source(name) is given}


def attribute_help(documented: type) -> dict[str, str]:
    """The sentences of a class's docstring about its attributes, by their names: its Google-style `Attributes:`."""
    section = inspect.cleandoc(documented.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}

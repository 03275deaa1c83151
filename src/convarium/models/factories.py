"""Factories of networks: the options that a signature declares, and users' own factories, `package.module:factory`.

Importing this module imports no PyTorch; importing a user's factory usually does.
"""

import inspect
import sys
import traceback
import typing
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from convarium.errors import ConvariumError, ImageSizeError, SpecError
from convarium.models.index import ACTIVATION_GAINS, Resolved, resolve
from convarium.models.options import ACTIVATION, Option, check_options
from convarium.models.sources import SourceFile, Sources, find_sources, import_sources, source_of
from convarium.spec import unknown

if TYPE_CHECKING:
    from torch import nn

Factory = Callable[..., "nn.Module"]
"""`(spec: ImageSpec, activation: Activation, **options) -> nn.Module`; its signature is the table of its options."""

_FORM = "factory(spec, activation, option=…) -> nn.Module"


def resolve_custom(model: str) -> tuple[Resolved, Factory]:
    """Imports a user's factory and completes its options.

    Args:
        model: a spec `package.module:factory`, with options.

    Returns:
        The spec with every option of the factory's signature and its value, and the factory.

    Raises:
        SpecError: the factory cannot be imported, or does not take these options.
    """
    given = resolve(model)
    factory = load_factory(given.name)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(factory).parameters.values())
    options = check_options(
        given.name, declared_options(factory), given.options, activations=ACTIVATION_GAINS, takes_any=takes_any
    )
    return Resolved(given.name, options), factory


def load_factory(name: str) -> Factory:
    """Imports `package.module:factory`, from the working folder too.

    Raises:
        SpecError: the module does not exist or fails, or has no such function.
    """
    module_name, _, attribute = name.partition(":")
    factory = getattr(_load_module(name, module_name), attribute, None)
    if factory is None:
        module = sys.modules[module_name]
        functions = [n for n, value in vars(module).items() if inspect.isfunction(value) and not n.startswith("_")]
        if not functions:
            raise SpecError(f"{module_name} has no {attribute!r}", expected=_FORM)
        raise unknown(f"function of {module_name}", attribute, functions)
    if not callable(factory) or _is_module(factory):
        raise SpecError(f"{name} is not a function", expected=_FORM, received=type(factory).__name__)
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError as error:
        raise SpecError(f"{name} does not show its parameters", expected=_FORM) from error
    if not parameters:
        raise SpecError(f"{name} takes no arguments", expected=_FORM)
    with suppress(OSError):  # code that was never in a file has no digest
        _source_file(name, typing.cast("Factory", factory))
    return typing.cast("Factory", factory)


def _load_module(name: str, module_name: str, sources: Sources | None = None) -> ModuleType:
    if module_name in sys.modules:
        return sys.modules[module_name]
    try:
        return import_sources(module_name, sources or find_sources(module_name))
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            hint = "run from the folder that holds it, or install it"
        else:
            hint = f"{module_name} needs it: install it"
        raise SpecError(f"cannot import {missing!r} for model {name}", hint=hint) from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise user_code_error(name, error) from error


def user_code_error(name: str, error: Exception | SystemExit) -> ConvariumError:
    """The error to raise when a user's own code has failed: names the line that failed and its exception.

    A RuntimeError becomes an ImageSizeError, since PyTorch raises it where shapes do not fit, and images of another
    size may then do.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(("<frozen", *_library_folders()))]
    file, line = (own[-1].filename, own[-1].lineno) if own else (None, None)
    if isinstance(error, SyntaxError):
        file, line = error.filename, error.lineno
    shapes_do_not_fit = isinstance(error, RuntimeError) and not isinstance(error, RecursionError)
    kind = ImageSizeError if shapes_do_not_fit else SpecError
    first_line = (str(error).splitlines() or [""])[0]
    place = f" at {Path(file).name}:{line}" if file and line else ""  # Python's parser may fail before any line
    return kind(f"{name} fails{place}: {type(error).__name__}{f': {first_line}' if first_line else ''}")


def _library_folders() -> tuple[str, ...]:
    modules = (sys.modules.get(name) for name in ("convarium", "torch"))
    return tuple(str(Path(module.__file__).parent) for module in modules if module and module.__file__)


def load_recorded_factory(model: str, *, digest: str | None) -> None:
    """Imports the network of a stored run, if it is the user's own; of a network of the zoo there is nothing to import.

    A record can name any module. It is imported only if its source is what the run was made with, and never from the
    standard library or an installed package.

    Args:
        model: the spec in the run's recipe.
        digest: of the source that the run was made with, see `source_digest`; None: the record has none.

    Raises:
        SpecError: the record has no digest, or the source is missing or another one; none of it was run. Or importing
            it fails.
    """
    resolved = resolve(model)
    if not resolved.is_custom:
        return
    module = resolved.name.partition(":")[0]
    sources = find_sources(module)
    if digest is None:
        wrong = f"the record of the run does not say with which source of {resolved.name} it was made"
    elif sources.in_library:
        wrong = f"the run's network {resolved.name} is no Python file of your own in the working folder"
    elif sources.digest != digest:
        wrong = f"the source of {resolved.name} is not the one that the run was made with"
    else:
        _load_module(resolved.name, module, sources)
        return
    raise SpecError(f"{wrong}, so that none of it was run", hint=f"if you trust it, add --model {model!r}")


def source_digest(model: str) -> str | None:
    """SHA-256, hexadecimal, of the source of a user's own network, for the record of a run; None for one of the zoo.

    It covers the module that the spec names, the packages that it lies in, and every module of the user's own that one
    of these imports: see `Sources`. Like `factory_digest`, it is that of the code that Python has imported.

    Raises:
        SpecError: the spec is wrong, or the factory cannot be imported.
    """
    resolved = resolve(model)
    if not resolved.is_custom:
        return None
    load_factory(resolved.name)
    sources = find_sources(resolved.name.partition(":")[0])
    return sources.digest if sources.files else None


def factory_digest(model: str) -> str | None:
    """SHA-256, hexadecimal, of the file that defines a user's factory, for a run's key; None for a network of the zoo.

    It is the digest of the file as it was when the factory was first loaded, and so of the code that a network is built
    with: Python does not import a module again when its file changes.

    Raises:
        SpecError: the spec is wrong, or the factory cannot be imported.
    """
    resolved = resolve(model)
    if not resolved.is_custom:
        return None
    file = _source_file(resolved.name, load_factory(resolved.name))
    return None if file is None else file.digest


def check_source_unchanged(model: str) -> None:
    """Checks that the source files of a user's own network are still those that Python has imported.

    Raises:
        SpecError: a file has changed since, so that a network would be built with the old code.
    """
    resolved = resolve(model)
    if not resolved.is_custom:
        return
    defining = _source_file(resolved.name, load_factory(resolved.name))
    files = [*find_sources(resolved.name.partition(":")[0]).files.values(), *([defining] if defining else [])]
    for file in files:
        if not file.path.exists() or file.path.read_bytes() != file.content:
            raise SpecError(
                f"{file.path.name} has changed since it was imported for model {resolved.name}", hint="restart Python"
            )


def _source_file(name: str, factory: Factory) -> SourceFile | None:
    """The file that defines a factory; None for code that was never in a file."""
    function, module = inspect.unwrap(factory), sys.modules[name.partition(":")[0]]
    try:
        file = inspect.getsourcefile(function)
        module = sys.modules.get(function.__module__, module)
    except TypeError:  # not a function but, say, a functools.partial: the module that names it
        file = module.__file__
    return source_of(module, Path(file)) if file else None


def declared_options(factory: Factory) -> dict[str, Option]:
    """The options of a factory, from its signature; the first parameter, the ImageSpec, is not among them."""
    try:
        hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except (NameError, TypeError):  # annotations that a user imports for the type checker alone
        hints = {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = [p for p in list(inspect.signature(factory).parameters.values())[1:] if p.kind in named]
    return {p.name: _declared(p, hints.get(p.name, Any)) for p in parameters}


def _declared(parameter: inspect.Parameter, kind: Any) -> Option:
    if parameter.name != ACTIVATION:
        return Option(kind, parameter.default)
    from convarium.models.zoo.layers import Activation

    default = parameter.default
    return Option(str, default.name if isinstance(default, Activation) else default)


def _is_module(value: object) -> bool:
    from torch import nn

    return isinstance(value, nn.Module)

"""Factories of networks: the options that a signature declares, and users' own factories, `package.module:factory`.

Importing this module imports no PyTorch; importing a user's factory usually does.
"""

import hashlib
import importlib
import inspect
import sys
import traceback
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from convarium.errors import ConvariumError, ImageSizeError, SpecError
from convarium.models.index import ACTIVATION_GAINS, Resolved, resolve
from convarium.models.options import ACTIVATION, Option, check_options
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
        _digest_at_import(name, typing.cast("Factory", factory))
    return typing.cast("Factory", factory)


def _load_module(name: str, module_name: str) -> ModuleType:
    try:
        with working_folder_on_path():
            return importlib.import_module(module_name)
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
    if isinstance(error, SyntaxError):
        file, line = error.filename or "", error.lineno
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if not frame.filename.startswith(("<frozen", *_library_folders()))]
        file, line = (own or frames)[-1].filename, (own or frames)[-1].lineno
    shapes_do_not_fit = isinstance(error, RuntimeError) and not isinstance(error, RecursionError)
    kind = ImageSizeError if shapes_do_not_fit else SpecError
    first_line = (str(error).splitlines() or [""])[0]
    return kind(f"{name} fails at {Path(file).name}:{line}: {type(error).__name__}: {first_line}")


def _library_folders() -> tuple[str, ...]:
    modules = (sys.modules.get(name) for name in ("convarium", "torch"))
    return tuple(str(Path(module.__file__).parent) for module in modules if module and module.__file__)


@contextmanager
def working_folder_on_path() -> Iterator[None]:
    """Lets modules of the working folder be imported, as `python -m` does; afterwards `sys.path` is as it was."""
    folder = str(Path.cwd())
    added = folder not in sys.path
    if added:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if added and folder in sys.path:
            sys.path.remove(folder)


def factory_digest(model: str) -> str | None:
    """SHA-256, hexadecimal, of the source file of a user's factory; None for a network of the zoo.

    It is the digest of the file as it was when the factory was first loaded, and so of the code that a network is built
    with: Python does not import a module again when its file changes.

    Raises:
        SpecError: the spec is wrong, or the factory cannot be imported.
    """
    resolved = resolve(model)
    if not resolved.is_custom:
        return None
    return _digest_at_import(resolved.name, load_factory(resolved.name))


def check_source_unchanged(model: str) -> None:
    """Checks that the source file of a user's factory is still the one that Python has imported.

    Raises:
        SpecError: the file has changed since, so that a network would be built with the old code.
    """
    imported, resolved = factory_digest(model), resolve(model)
    if imported is None:
        return
    file, _ = _source(resolved.name, load_factory(resolved.name))
    if file is not None and (not file.exists() or _file_digest(file) != imported):
        raise SpecError(
            f"{file.name} has changed since it was imported for model {resolved.name}", hint="restart Python"
        )


_imported: dict[Path, tuple[object, str]] = {}
"""The digest of each source file when it was first seen, with the import of its module that it belongs to."""


def _digest_at_import(name: str, factory: Factory) -> str | None:
    file, module = _source(name, factory)
    if file is None:
        return None
    this_import = module.__spec__ or module  # a module that is reloaded or imported again has a new spec
    if file not in _imported or _imported[file][0] is not this_import:
        _imported[file] = this_import, _file_digest(file)
    return _imported[file][1]


def _source(name: str, factory: Factory) -> tuple[Path | None, ModuleType]:
    """The source file of a factory, and the module that was imported from it."""
    function, module = inspect.unwrap(factory), sys.modules[name.partition(":")[0]]
    try:
        file = inspect.getsourcefile(function)
        module = sys.modules.get(function.__module__, module)
    except TypeError:  # not a function but, say, a functools.partial: the module that names it
        file = module.__file__
    return Path(file) if file else None, module


def _file_digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


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

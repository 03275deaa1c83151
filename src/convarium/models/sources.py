"""The source files behind a user's factory, `package.module:factory`, found and digested without running any of them.

They are read once: what is digested is what Python then runs, with no file of `__pycache__` in between.
"""

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from convarium.models.module_files import is_library, module_file, python_file


@dataclass(frozen=True)
class SourceFile:
    """One module's source.

    Attributes:
        path: of its file.
        content: the file's bytes when it was read.
    """

    path: Path
    content: bytes

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__.py` of a package."""
        return self.path.stem == "__init__"

    @property
    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Sources:
    """The source of a module that a spec names, with what it imports of the user's own.

    Attributes:
        files: by module name: the module, the packages that it lies in, and every module that one of these imports, as
            far as it lies outside the standard library, site-packages and Convarium. A module that is imported by a
            name that is put together when the program runs is not among them.
        in_library: whether the module itself lies in the standard library or in site-packages, or has no source file.
    """

    files: Mapping[str, SourceFile]
    in_library: bool

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal, of all module names and contents."""
        lines = (f"{name} {self.files[name].digest}\n" for name in sorted(self.files))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


_imported: dict[str, tuple[object, SourceFile]] = {}
"""The source of each module as it was when it was first seen, with the import of the module that it belongs to."""

_sources: dict[str, tuple[object, Sources]] = {}
"""The same of each module that a spec has named, with what it imports."""


def find_sources(module: str) -> Sources:
    """Finds the source of a module on the import path and in the working folder. Nothing is imported.

    Of a module that has been imported already it is the source as it was when the module was first seen here.
    """
    if module in sys.modules and module in _sources:
        this_import, known = _sources[module]
        if this_import is _identity(sys.modules[module]):
            return known
    with working_folder_on_path():
        files = {name: file for name in _with_packages(module) if (file := _source(name)) is not None}
        seen, waiting = set(files), dict(files)
        while waiting:
            for imported in _imports(*waiting.popitem()):
                if imported not in seen:
                    seen.add(imported)
                    found = _source(imported, own=True)
                    if found is not None:
                        files[imported] = waiting[imported] = found
    sources = Sources(files, module not in files or is_library(files[module].path))
    if module in sys.modules:
        _sources[module] = _identity(sys.modules[module]), sources
    return sources


def import_sources(module: str, sources: Sources) -> ModuleType:
    """Imports a module; those of `sources` that are not yet imported are run as they were read."""
    with importable(sources):
        imported = importlib.import_module(module)
    _sources[module] = _identity(imported), sources
    return imported


@contextmanager
def importable(sources: Sources) -> Iterator[None]:
    """Lets the modules of `sources` and of the working folder be imported; afterwards the import path is as it was."""
    finder: Any = _Finder(sources.files)
    sys.meta_path.insert(0, finder)
    try:
        with working_folder_on_path():
            yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def working_folder_on_path() -> Iterator[None]:
    """Lets modules of the working folder be found, as `python -m` does; afterwards `sys.path` is as it was."""
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


def source_of(module: ModuleType, path: Path) -> SourceFile:
    """The source of an imported module as it was when it was first seen.

    Args:
        module: the module.
        path: of its file.

    Raises:
        OSError: the file cannot be read.
    """
    name, this_import = module.__name__, _identity(module)
    if name not in _imported or _imported[name][0] is not this_import or _imported[name][1].path != path:
        _imported[name] = this_import, SourceFile(path, path.read_bytes())
    return _imported[name][1]


def _source(name: str, *, own: bool = False) -> SourceFile | None:
    """The source of a module; None if there is no such module, or if it is not made of a Python file.

    Args:
        name: of the module.
        own: whether a module of a library has none, too.
    """
    module = sys.modules.get(name)
    path = module_file(name) if module is None else python_file(getattr(module, "__file__", None))
    if path is None or (own and is_library(path)):
        return None
    try:
        return SourceFile(path, path.read_bytes()) if module is None else source_of(module, path)
    except OSError:
        return None


def _imports(module: str, file: SourceFile) -> Iterator[str]:
    """The names of all modules that a module's source may import, with their packages."""
    try:
        tree = ast.parse(file.content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the import itself will say so
        return
    package = module if file.is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")]
        else:
            continue
        for name in names:
            yield from _with_packages(name)


def _with_packages(name: str) -> list[str]:
    """`a`, `a.b` and `a.b.c` for `a.b.c`."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1) if all(parts[:end])]


def _identity(module: ModuleType) -> object:
    """A module that is reloaded or imported again has a new spec."""
    return getattr(module, "__spec__", None) or module


class _Finder:
    """Finds modules whose source has been read already."""

    def __init__(self, files: Mapping[str, SourceFile]) -> None:
        self._files = files

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        if name not in self._files:
            return None
        file = self._files[name]
        loader: Any = _Loader(file)
        folders = [str(file.path.parent)] if file.is_package else None
        return importlib.util.spec_from_file_location(
            name, file.path, loader=loader, submodule_search_locations=folders
        )


class _Loader:
    """Runs a module's source as it was read."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file

    def create_module(self, spec: ModuleSpec) -> None:
        """None: Python makes the module."""

    def exec_module(self, module: ModuleType) -> None:
        _imported[module.__name__] = _identity(module), self._file
        code = compile(self._file.content, str(self._file.path), "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102, the user's own module, as `import` runs it

    def get_source(self, name: str) -> str:  # noqa: ARG002
        return importlib.util.decode_source(self._file.content)

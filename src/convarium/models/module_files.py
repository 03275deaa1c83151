"""Where the source of a module lies, found without importing anything, and whether it belongs to a library."""

import functools
import site
import sys
import sysconfig
from importlib.machinery import ModuleSpec
from pathlib import Path


def module_file(name: str) -> Path | None:
    """The file that an import of a module would run; its packages are not imported to find it."""
    first, *rest = name.split(".")
    spec = _top_level_spec(first)
    if spec is None:
        return None
    file = python_file(spec.origin)
    folders = list(map(Path, spec.submodule_search_locations or ()))
    for part in rest:
        places = [folder / part for folder in folders]
        packages = [place / "__init__.py" for place in places]
        modules = [place.with_name(f"{part}.py") for place in places]
        candidates = (c for pair in zip(packages, modules, strict=True) for c in pair)
        file = next((candidate for candidate in candidates if candidate.is_file()), None)
        folders = [place for place in places if place.is_dir()] if file is None else [file.parent]
        if file is not None and file.name != "__init__.py":
            folders = []
    return file


def _top_level_spec(name: str) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        spec = find_spec(name, None) if find_spec else None
        if isinstance(spec, ModuleSpec):
            return spec
    return None


def python_file(path: str | None) -> Path | None:
    """The path, if it is that of a Python file; else None."""
    return Path(path) if path and path.endswith(".py") and Path(path).is_file() else None


@functools.cache
def _library_folders() -> tuple[Path, ...]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[1])]
    return tuple({folder for path in paths for folder in (Path(path), Path(path).resolve())})


def is_library(path: Path) -> bool:
    """Whether a file belongs to the standard library, to an installed package or to Convarium."""
    parents = {*path.parents, *path.resolve().parents}
    return not parents.isdisjoint(_library_folders()) or any(
        parent.name in ("site-packages", "dist-packages") for parent in parents
    )

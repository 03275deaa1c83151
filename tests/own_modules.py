"""Modules that tests import from folders of their own, and forget again."""

import sys
import textwrap
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


def write(path: Path, text: str) -> None:
    """Writes a module, and makes the folders of its package."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")


def forget(folder: Path) -> None:
    """Removes what was imported from a folder, so that it is imported as in a new process."""
    for name in [name for name, module in sys.modules.items() if lies_in(folder, module)]:
        del sys.modules[name]


def lies_in(folder: Path, module: ModuleType) -> bool:
    """Whether a module was read from the folder; PyTorch's own, which may be loaded during a test, were not."""
    spec = getattr(module, "__spec__", None)
    places = [spec.origin or "", *(spec.submodule_search_locations or ())] if isinstance(spec, ModuleSpec) else []
    return any(place.startswith(str(folder)) for place in places)

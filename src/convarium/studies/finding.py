"""A study by its name, or from a Python file of one's own."""

import importlib.util
import sys
from pathlib import Path

from convarium.errors import ConvariumError, SpecError
from convarium.models.factories import user_code_error
from convarium.spec import unknown
from convarium.studies.builtin import EXPERIMENTS
from convarium.studies.study import Study


def find_study(name: str) -> Study:
    """A built-in study, or the `study` that a Python file defines.

    Args:
        name: of EXPERIMENTS, or the path of a file that ends in .py. The file is run.

    Raises:
        SpecError: no such study or file, or a file that fails or defines no `study`.
    """
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    if not name.endswith(".py"):
        raise unknown("experiment", name, EXPERIMENTS, hint="(or a Python file that defines `study`)")
    path = Path(name)
    if not path.is_file():
        raise SpecError(f"there is no file {name}", hint="see convarium list experiments for the built-in studies")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SpecError(f"{name} cannot be run as Python")
    module = importlib.util.module_from_spec(spec)
    writing, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except ConvariumError:
        raise
    except (Exception, SystemExit) as error:  # whatever stands in the user's file
        raise user_code_error(name, error) from error
    finally:
        sys.dont_write_bytecode = writing
    study = getattr(module, "study", None)
    if not isinstance(study, Study):
        raise SpecError(f"{name} defines no `study`", expected="study = convarium.Study(…)", received=study)
    return study

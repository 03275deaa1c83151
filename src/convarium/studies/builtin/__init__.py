"""The built-in studies: one Python file for each question, and the table that names them; and studies from a file."""

import importlib.util
import sys
from pathlib import Path

from convarium.errors import ConvariumError, SpecError
from convarium.models.factories import user_code_error
from convarium.spec import unknown
from convarium.studies.builtin import activations as _activations
from convarium.studies.builtin import classics as _classics
from convarium.studies.builtin import depth as _depth
from convarium.studies.builtin import identity_mappings as _identity_mappings
from convarium.studies.builtin import learning_rates as _learning_rates
from convarium.studies.builtin import memory_vs_residual as _memory_vs_residual
from convarium.studies.builtin import optimizers as _optimizers
from convarium.studies.builtin import precision as _precision
from convarium.studies.builtin import residual_cnn as _residual_cnn
from convarium.studies.builtin import seeds as _seeds
from convarium.studies.builtin import shortcut_ablation as _shortcut_ablation
from convarium.studies.builtin import tutorial5 as _tutorial5
from convarium.studies.builtin import vanishing as _vanishing
from convarium.studies.study import Study

EXPERIMENTS: dict[str, Study] = {
    study.name: study
    for study in (
        _memory_vs_residual.study,
        _residual_cnn.study,
        _residual_cnn.longer,
        _vanishing.study,
        _classics.originals,
        _classics.study,
        _activations.study,
        _learning_rates.study,
        _learning_rates.pilot,
        _shortcut_ablation.study,
        _tutorial5.study,
        _optimizers.study,
        _depth.study,
        _identity_mappings.study,
        _seeds.study,
        _precision.memory_mlp,
        _precision.residual_mlp,
        _precision.residual_cnn,
        _precision.lenet,
        _precision.mnist_resnet,
        _precision.resnet,
        _precision.preact_resnet,
        _precision.googlenet,
        _precision.densenet,
    )
}


def find_study(name: str) -> Study:
    """Returns a built-in study, or the `study` that a Python file defines.

    Args:
        name: a name in EXPERIMENTS, or the path of a file that ends in .py; the file is executed.

    Raises:
        SpecError: there is no such study or file, or the file fails or defines no `study`.
    """
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    if not name.endswith(".py"):
        raise unknown("experiment", name, EXPERIMENTS, hint="(or a Python file that defines `study`)")
    path = Path(name)
    if not path.is_file():
        wrong = "is not a file" if path.exists() else "does not exist"
        raise SpecError(f"file {name} {wrong}", hint="see convarium list experiments for the built-in studies")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SpecError(f"{name} cannot be run as Python")
    module = importlib.util.module_from_spec(spec)
    writing, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except ConvariumError:
        raise
    except (Exception, SystemExit) as error:  # the user's file may raise anything
        raise user_code_error(name, error) from error
    finally:
        sys.dont_write_bytecode = writing
    study = getattr(module, "study", None)
    if not isinstance(study, Study):
        raise SpecError(f"{name} defines no `study`", expected="study = convarium.Study(…)", received=study)
    return study

"""The built-in studies: one Python file a question, and the table that names them."""

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

"""Freezing a part of a network: its parameters get no gradient, and its layers compute as in evaluation."""

from torch import nn

from convarium.errors import RecipeError
from convarium.recipes.recipe import Recipe
from convarium.recipes.starting import is_under, parse_freeze


def freeze(network: nn.Module, recipe: Recipe) -> None:
    """Freezes the parameters that the recipe names; call it after `network.train()`, which would undo a part of it.

    A frozen parameter gets no gradient, so that neither the optimizer nor its weight decay changes it. A module whose
    parameters are all frozen is set to evaluation mode with all that it contains: its batch norms normalize by their
    running statistics, which stay as they are, and its dropout is off. So a frozen part computes in every step what it
    will compute in use. A batch norm of which only the weight or only the bias is frozen goes on as in training.

    Raises:
        RecipeError: a prefix fits no parameter, or nothing is left to train.
    """
    if recipe.freeze is None:
        return
    named = list(network.named_parameters(remove_duplicate=False))
    for prefix in parse_freeze(recipe.freeze):
        frozen = [parameter for name, parameter in named if is_under(name, prefix)]
        if not frozen:
            parts = dict.fromkeys(name.partition(".")[0] for name, _ in named)
            raise RecipeError(
                f"freeze={prefix!r} fits no parameter of {recipe.model}",
                expected=f"{', '.join(parts)}, or the beginning of a longer name such as {named[0][0]}",
                hint=f"see convarium describe {recipe.model}",
            )
        for parameter in frozen:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for _, parameter in named):
        hint = "leave a part out of it, such as the last layer"
        raise RecipeError(f"freeze={recipe.freeze!r} leaves nothing of {recipe.model} to train", hint=hint)
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def unfreeze(network: nn.Module, recipe: Recipe) -> None:
    """Undoes `freeze` for the parameters, once a network is trained: all of them are its size."""
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if recipe.freeze is not None and any(is_under(name, prefix) for prefix in parse_freeze(recipe.freeze)):
            parameter.requires_grad_(True)

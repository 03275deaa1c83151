"""Recipes: everything that decides a run's numbers.

`Recipe` checks its fields and computes the run's key, `recipe_preset` gives the recipes of the sources, and `schedules`
computes the learning rate of every step.
"""

from convarium.recipes.presets import RECIPES, recipe_preset
from convarium.recipes.recipe import Recipe, recipe_from_json
from convarium.recipes.schedules import parse_schedule, rate_factor

__all__ = ["RECIPES", "Recipe", "parse_schedule", "rate_factor", "recipe_from_json", "recipe_preset"]

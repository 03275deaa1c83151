"""Recipes: everything that decides a run's numbers, how each source trains, and learning-rate schedules."""

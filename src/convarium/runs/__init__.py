"""Runs on disk: the store, the files of one run, TensorBoard events, and the environment that a run was made in."""

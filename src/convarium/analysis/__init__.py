"""From stored runs to sentences, by pure functions: nothing here trains, and nothing imports torch.

`statistics` computes intervals and tests, `comparison` compares stored runs (`compare_runs`), and `claims` judges
published statements by a comparison (`judge`).
"""

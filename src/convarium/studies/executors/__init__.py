"""Who trains the units of a study: this process, or worker processes on this machine.

An executor is given single runs and stacks and yields the runs of each as it finishes: see `work`.
"""

"""A program that imports Convarium and trains with it keeps its settings; only the command line sets its own."""

import json
import os
import subprocess
import sys

TRAINS = """
import ctypes, dataclasses, json, os, sys

library = ctypes.CDLL(None)

class Watched(ctypes.CDLL):  # every way from Python to mallopt
    def __getattr__(self, name):
        if name == "mallopt":
            calls.append(name)
        return super().__getattr__(name)

calls, ctypes.CDLL = [], Watched
import sklearn.datasets, torch  # these set variables of their own, as does PyTorch's first optimizer
torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.1, fused=True).step()
before = dict(os.environ), list(sys.path)
import convarium
state, tiny = torch.get_rng_state(), torch.full((1,), torch.finfo(torch.float32).tiny)
threads, kinds = torch.get_num_threads(), (torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled())
recipe = convarium.Recipe(model="memory_mlp(hidden=8)", epochs=1, batch_size=64)
digits = convarium.load_data("digits")
torch.set_flush_denormal(True)
torch.use_deterministic_algorithms(True, warn_only=True)
convarium.fit(recipe, digits, device="cpu")
convarium.training.fit_stack([recipe, dataclasses.replace(recipe, seed=1)], digits, device="cpu")
arithmetic = [float(tiny * 0.5) == 0, torch.is_deterministic_algorithms_warn_only_enabled()]
torch.set_flush_denormal(False)
torch.use_deterministic_algorithms(False)
convarium.fit(recipe, digits, device="cpu")
arithmetic += [float(tiny * 0.5) == 0, torch.equal(state, torch.get_rng_state())]
after = dict(os.environ), list(sys.path)
same = threads == torch.get_num_threads()
same = same and kinds == (torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled())
tuned = len(calls)
convarium.training.tune_memory()
changed = sorted(after[0].items() ^ before[0].items())
print(json.dumps([changed, before[1] == after[1], same, tuned, len(calls), arithmetic]))
"""

COMMAND = """
import json, os, sys
sys.argv = ["convarium", "--version"]
from convarium.__main__ import main
before = os.environ.get("GOMP_SPINCOUNT")
main()
print(json.dumps([before, os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules]))
"""


def last_line_of(program, **variables):
    kept = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    kept |= {"OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run([sys.executable, "-c", program], env=kept, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_and_training_changes_nothing_in_the_host_process():
    environment, path, torch_settings, mallopt_calls, after_asking, arithmetic = last_line_of(TRAINS)
    assert (environment, path, torch_settings, mallopt_calls) == ([], True, True, 0)
    # Denormals are flushed only where the host has them flushed, and the global generator is where it was.
    assert arithmetic == [True, True, False, True]
    # That the test would see a call to mallopt: on Linux it is made when it is asked for.
    assert after_asking == (1 if sys.platform == "linux" else 0)


def test_the_command_line_sets_the_spin_count_before_torch_is_loaded_unless_the_user_has():
    assert last_line_of(COMMAND) == [None, "10000", False]
    assert last_line_of(COMMAND, GOMP_SPINCOUNT="7") == ["7", "7", False]

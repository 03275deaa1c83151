PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check wheel-check format index clean

demo: .venv/ready
	$(BIN)/convarium compare memory_mlp residual_mlp residual_cnn lenet --dataset digits --seeds 5

# One thread per worker: two that compete for two cores take ten times as long. Without exec, a signal to terminate would
# end the shell and leave the tests running.
test: check
	exec env OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ruff check --preview --select PLW1514 src  # no file is read in the encoding of the machine
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src

wheel-check: .venv/ready
	PYTHON=$(BIN)/python tests/check_wheel.sh

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

index: .venv/ready
	$(BIN)/python -m convarium.models.index  # after a change of models/zoo: what is read without PyTorch

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv

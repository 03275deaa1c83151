#!/usr/bin/env bash
# Builds sdist and wheel, installs the wheel into an empty environment, and uses it far from the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath --no-symlinks "${PYTHON:-.venv/bin/python}")
constraints=$PWD/constraints.txt
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$python" -m build --outdir "$folder/dist" . >"$folder/build.log" || { cat "$folder/build.log"; exit 1; }
"$python" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" "$folder"/dist/*.whl
unset PYTHONPATH
mkdir "$folder/elsewhere" && cd "$folder/elsewhere"
convarium=$folder/env/bin/convarium

"$convarium" --version
"$convarium" compare lenet residual_cnn --dataset digits --seeds 2 --epochs 1
test -s studies/*/report.html
"$convarium" reproduce >claims.txt
grep -Eq "supported +5 " claims.txt  # the measured records come with the wheel
"$convarium" reproduce --json | grep -q '"verdict": "supported"'
"$folder/env/bin/python" -m pip check
echo "the wheel works by itself: $(wc -l <claims.txt) lines of claims"

#!/usr/bin/env bash
# Puts the Python packages that tests compare with (numpy, scikit-image, anndata, ...) into the folder $1.
set -eu
venv=$1
wanted=tests/reference/requirements.txt

if ! { [ -x "$venv/bin/python" ] || python3 -m venv "$venv"; }; then
  echo "Tests compare with Python packages and need a virtual environment: install Python 3.11 or newer with its venv module (Debian: python3-venv), then run make again." >&2
  exit 1
fi
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"; then
  echo "Could not install the packages of $wanted into $venv: check that a Python package index is reachable, then run make again." >&2
  exit 1
fi
touch "$venv/.python"

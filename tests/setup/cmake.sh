#!/usr/bin/env bash
# Makes cmake available for HDF5's C build: the system's, else PyPI's in the folder $1, else Debian's.
set -eu
venv=$1

if [ -x "$venv/bin/cmake" ] || command -v cmake >/dev/null; then
  mkdir -p "$venv" && touch "$venv/.cmake"
  exit 0
fi
echo "cmake not found; installing it into $venv"
if { [ -x "$venv/bin/python" ] || python3 -m venv "$venv"; } && "$venv/bin/python" -m pip install --quiet cmake; then
  touch "$venv/.cmake"
  exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "PyPI did not help; trying Debian's package"
  if apt-get update -qq && apt-get install -y -qq cmake; then
    mkdir -p "$venv" && touch "$venv/.cmake"
    exit 0
  fi
fi
cat >&2 <<'MESSAGE'
Primordia builds the HDF5 library from source, which needs cmake, and cmake is not here.
Neither PyPI (python3 -m venv, pip install cmake) nor Debian (apt-get install cmake) could provide it.
Install cmake 3.20 or newer in your usual way, check that `cmake --version` answers, and run make again.
MESSAGE
exit 1

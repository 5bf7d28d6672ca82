#!/usr/bin/env bash
# Makes cmake available for HDF5's C build: the system's, else PyPI's in the folder $1, else Debian's.
set -eu
venv=$1
wanted=3.26 # HDF5's own; Debian 12 has 3.25

is_new_enough() {
  local found
  found=$("$1" --version 2>/dev/null | sed -n 's/^cmake version //p') && [ -n "$found" ] &&
    [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ]
}
done_if_there() {
  if is_new_enough "$venv/bin/cmake" || is_new_enough cmake; then
    mkdir -p "$venv" && touch "$venv/.cmake"
    exit 0
  fi
}

done_if_there
echo "cmake $wanted or newer not found; installing it into $venv"
if { [ -x "$venv/bin/python" ] || python3 -m venv "$venv"; } && "$venv/bin/python" -m pip install --quiet cmake; then
  done_if_there
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "PyPI did not help; trying Debian's package"
  if apt-get update -qq && apt-get install -y -qq cmake; then
    done_if_there
  fi
fi
cat >&2 <<MESSAGE
Primordia builds the HDF5 library from source, which needs cmake $wanted or newer, and it is not here.
Neither PyPI (python3 -m venv, pip install cmake) nor Debian (apt-get install cmake) could provide it.
Install it in your usual way, check what \`cmake --version\` answers, and run make again.
MESSAGE
exit 1

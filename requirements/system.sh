#!/usr/bin/env bash
# What the virtual environment needs from the system: a supported Python with venv, a C++ compiler and CMake for the
# messages, GL libraries for the simulator's cameras. Installs what is missing when it may, else says what to install.
# usage: system.sh PYTHON
set -euo pipefail
python=$1

missing() { # names of the Debian and Ubuntu packages that bring what is not there
  command -v "$python" >/dev/null && "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  command -v g++ >/dev/null || echo g++
  command -v cmake >/dev/null || echo cmake
  command -v ninja >/dev/null || echo ninja-build
  local libraries
  libraries=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p)
  grep -q 'libEGL\.so\.1' <<<"$libraries" || echo libegl1
  # Mesa's own half: without it EGL finds no device. A vendor's driver (NVIDIA) does as well.
  grep -Eq 'libEGL_(mesa|nvidia)\.so\.0' <<<"$libraries" || echo libegl-mesa0 libgl1-mesa-dri
  grep -q 'libGL\.so\.1' <<<"$libraries" || echo libgl1
}

packages=$(missing)
packages=${packages//$'\n'/ }
if [ -n "$packages" ]; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing from apt: $packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    # shellcheck disable=SC2086  # one word a package
    apt-get install -y -q --no-install-recommends $packages </dev/null
  else
    echo "error: missing system packages; run: sudo apt-get install $packages" >&2
    exit 2
  fi
fi

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
  echo "error: $("$python" --version) is not supported; expected 3.11 to 3.13 (the ROS wheels and the pins exist for these); run: make PYTHON=python3.12 …" >&2
  exit 2
fi
if [ "$(uname -m)" != x86_64 ]; then
  echo "error: the ROS wheels exist for x86_64 only, this is $(uname -m); use ROS 2 from apt and colcon, see README.md" >&2
  exit 2
fi

#!/usr/bin/env bash
# `make env`, first half: the system packages of apt.txt and an interpreter; the rest is make_env.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
  printf 'make env: %s\n' "$@" >&2
  exit 1
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.10}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
}

PATH_PYTHON=$(find_python)
python() { [ -n "$PATH_PYTHON" ] && "$PATH_PYTHON" "$@"; }
library() { [[ $(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p) == *"$1 "* ]]; }

missing_packages() {
  local package check
  while IFS=: read -r package check; do
    [[ $package == \#* || -z $check ]] || (eval "$check") >/dev/null 2>&1 || printf '%s ' "$package"
  done <"$here/apt.txt"
}

missing=$(missing_packages)
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null || fail "this machine lacks: $missing" \
    "(names of Debian and Ubuntu); install their counterparts and run 'make env' again."
  if [ "$(id -u)" = 0 ]; then
    root=""
  elif sudo -n true 2>/dev/null; then
    root="sudo"
  else
    fail "this machine lacks: $missing" "run: sudo apt-get install --no-install-recommends ${missing% }" \
      "and then 'make env' again."
  fi
  printf 'make env: installing system packages: %s\n' "$missing"
  # shellcheck disable=SC2086
  { $root apt-get update -qq &&
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
    >"${TMPDIR:-/tmp}/occdepth_ros_apt.$$.log" 2>&1 || {
    tail -n 20 "${TMPDIR:-/tmp}/occdepth_ros_apt.$$.log" >&2
    fail "apt-get failed (above); repair it, or install by hand: $missing"
  }
  rm -f "${TMPDIR:-/tmp}/occdepth_ros_apt.$$.log"
  PATH_PYTHON=$(find_python)
  missing=$(missing_packages)
  [ -z "$missing" ] || fail "still missing after the installation: $missing" \
    "$([ -n "$PATH_PYTHON" ] && echo "for the interpreter $PATH_PYTHON; PYTHON=/usr/bin/python3 make env uses the system's.")"
fi
[ -n "$PATH_PYTHON" ] || fail "no Python 3.10 to 3.14 was found; name one: PYTHON=/path/to/python3.12 make env"

exec "$PATH_PYTHON" -B "$here/make_env.py" "$@"

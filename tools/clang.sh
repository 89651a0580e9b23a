#!/usr/bin/env bash
# The native code compiled by Clang, and its tests.
#
#   tools/clang.sh [PYTEST ARGUMENT]...        default: every test of the native executor
#
# CXX names the compiler (default: the first clang++ on the path, or one with a version in its name). Ends with 3 where there is none.
# For the rest of the environment see tools/native_tests.sh, which does the work.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${CXX:-}" ]; then
  CXX="$(compgen -c clang++ | grep -E '^clang\+\+(-[0-9]+)?$' | sort -V | head -1 || true)"
  [ -n "$CXX" ] || { echo "there is no clang++; on Debian: apt-get install clang" >&2; exit 3; }
fi
export CXX
echo "$("$CXX" --version | head -1)"
[ $# -gt 0 ] || set -- tests/skip/cpu
tools/native_tests.sh "$@"

#!/usr/bin/env bash
# The native code under sanitizers: AddressSanitizer with UndefinedBehaviorSanitizer, or ThreadSanitizer.
#
#   tools/sanitize.sh [address|thread] [PYTEST ARGUMENT]...        default: address, every test of native code
#   tools/sanitize.sh address --script tools/fuzz.py [ARGUMENT]... the fuzzer with the sanitized extension
#
# For the environment see tools/native_tests.sh, which does the work.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-address}" in
  address) export SANITIZE=address,undefined ;;
  thread) export SANITIZE=thread ;;
  *) echo "usage: tools/sanitize.sh [address|thread] [PYTEST ARGUMENT]..." >&2; exit 2 ;;
esac
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- tests/skip/cpu tests/skip/test_pictures.py tests/skip/test_session_properties.py tests/video/draw/test_draw_cells.py \
  tests/video/draw/test_draw_lines.py tests/tasks/test_displaced.py tests/tasks/test_shifted.py \
  tests/tasks/test_patches.py tests/tasks/test_turned.py tests/tasks/test_merged.py tests/tasks/test_fitting.py
tools/native_tests.sh "$@"

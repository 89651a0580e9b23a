#!/usr/bin/env bash
# The kernels under AddressSanitizer and UndefinedBehaviorSanitizer: builds the extension with both and runs its tests with it.
#
#   tools/sanitize.sh [PYTEST ARGUMENT]...        default: every test of the native executor
#
# PYTHON names the interpreter (default: .venv/bin/python or python3); it needs the project's `dev` extra, nanobind and scikit-build-core.
# Nothing of the checkout is changed: the package is copied and built in a temporary folder, or in SANITIZE_FOLDER, which is kept.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
python="${PYTHON:-$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || command -v python3)}"
folder="${SANITIZE_FOLDER:-$(mktemp -d)}"
[ -n "${SANITIZE_FOLDER:-}" ] || trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/tree"

cmake -S "$root" -B "$folder/build" -DCMAKE_BUILD_TYPE=None -DPython_EXECUTABLE="$python" \
  -DSKIPVID_SANITIZE=address,undefined > "$folder/cmake.log"
cmake --build "$folder/build" --parallel "${JOBS:-2}" > "$folder/build.log" || { tail -40 "$folder/build.log"; exit 1; }
cp -R "$root/skipvid" "$root/presets" "$root/tests" "$root/pyproject.toml" "$folder/tree/"
rm -f "$folder"/tree/skipvid/skip/cpu/_native*.so
cp "$folder"/build/_native*.so "$folder/tree/skipvid/skip/cpu/"

# The interpreter is not instrumented, so the runtimes come first. Python and PyTorch keep memory until the end: no leak check.
cxx="$(sed -n 's/^CMAKE_CXX_COMPILER:[^=]*=//p' "$folder/build/CMakeCache.txt")"
preload="$("$cxx" -print-file-name=libasan.so) $("$cxx" -print-file-name=libubsan.so)"
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:halt_on_error=1"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
export OMP_NUM_THREADS=1 HYPOTHESIS_STORAGE_DIRECTORY="$folder/hypothesis" PYTHONPATH="$folder/tree"
cd "$folder/tree"
if [ $# -eq 0 ]; then
  set -- tests/skip/cpu tests/skip/test_pictures.py
fi
LD_PRELOAD="$preload" "$python" - "$@" <<'PYTHON'
import sys
from pathlib import Path

sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__ + type(finder).__name__.lower()]
sys.path.insert(0, str(Path.cwd()))
from skipvid.skip.cpu import _native

assert Path(_native.__file__).is_relative_to(Path.cwd()), f"the sanitized extension is not the one in use: {_native.__file__}"
print(f"{_native.__file__}: {', '.join(_native.instruction_sets())}")
import pytest

sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-o", "timeout=1200", *sys.argv[1:]]))
PYTHON

#!/usr/bin/env bash
# Builds the native extension apart from the checkout, warnings being errors, and runs check_native and then tests with it. For the scripts
# beside it: sanitize.sh and clang.sh.
#
#   CXX=... SANITIZE=... tools/native_tests.sh [PYTEST ARGUMENT]...
#   CXX=... SANITIZE=... tools/native_tests.sh --script tools/fuzz.py [ARGUMENT]...       a script in place of the tests
#
# CXX: the compiler. SANITIZE: "", address,undefined or thread. PYTHON: the interpreter (default: .venv/bin/python or python3); it needs the
# project's `dev` extra, nanobind and scikit-build-core. Nothing of the checkout is changed: the package is copied and built in a temporary
# folder, or in FOLDER, which is kept. JOBS: of the build (default: 2).
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
python="${PYTHON:-$([ -x "$root/.venv/bin/python" ] && echo "$root/.venv/bin/python" || command -v python3)}"
folder="${FOLDER:-$(mktemp -d)}"
[ -n "${FOLDER:-}" ] || trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/tree"
sanitize="${SANITIZE:-}"

cmake -S "$root" -B "$folder/build" -DCMAKE_BUILD_TYPE=None -DPython_EXECUTABLE="$python" ${CXX:+-DCMAKE_CXX_COMPILER="$CXX"} \
  -DSKIPVID_SANITIZE="$sanitize" -DSKIPVID_CHECKS=ON > "$folder/cmake.log" || { cat "$folder/cmake.log"; exit 1; }
cmake --build "$folder/build" --parallel "${JOBS:-2}" > "$folder/build.log" 2>&1 || { tail -40 "$folder/build.log"; exit 1; }
cp -R "$root/skipvid" "$root/presets" "$root/tests" "$root/tools" "$root/sample_videos" "$root/pyproject.toml" "$folder/tree/"
rm -f "$folder"/tree/skipvid/skip/cpu/_native*.so "$folder"/tree/skipvid/video/draw/_tint*.so "$folder"/tree/skipvid/tasks/_registered*.so
cp "$folder"/build/_native*.so "$folder/tree/skipvid/skip/cpu/"
cp "$folder"/build/_tint*.so "$folder/tree/skipvid/video/draw/"
cp "$folder"/build/_registered*.so "$folder/tree/skipvid/tasks/"

# The interpreter is not instrumented, so the runtimes come first. Python and PyTorch keep memory until the end: no leak check.
cxx="$(sed -n 's/^CMAKE_CXX_COMPILER:[^=]*=//p' "$folder/build/CMakeCache.txt")"
preload=""
case "$sanitize" in
  address*) preload="$("$cxx" -print-file-name=libasan.so) $("$cxx" -print-file-name=libubsan.so)" ;;
  thread) preload="$("$cxx" -print-file-name=libtsan.so)" ;;
esac
# Reports go to files: what a process prints while pytest captures its output is lost with it.
report="log_path=$folder/report"
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:halt_on_error=1:$report"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:$report"
export TSAN_OPTIONS="halt_on_error=1:report_bugs=1:suppressions=$folder/suppressions:$report"
# PyTorch's and numpy's own threads are not instrumented, so that what they hand over looks like a race, and a lock as one nobody holds.
printf '%s\n' race:libtorch race:libc10 race:libgomp race:_multiarray_umath mutex:libtorch mutex:libc10 called_from_lib:libtorch_cpu.so \
  > "$folder/suppressions"
export OMP_NUM_THREADS=1 HYPOTHESIS_STORAGE_DIRECTORY="$folder/hypothesis" PYTHONPATH="$folder/tree"
rm -f "$folder"/report.*
tell() { if compgen -G "$folder/report.*" > /dev/null; then cat "$folder"/report.* >&2; fi; }
"$folder/build/check_native" || { tell; exit 1; }
cd "$folder/tree"
status=0
# Read by every Python below, after the lines of site-packages that put a checkout first: the copy is what counts, in child processes, too.
cat > sitecustomize.py <<'PYTHON'
import sys

sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__ + type(finder).__name__.lower()]
PYTHON
status=0
LD_PRELOAD="$preload" "$python" - "$@" <<'PYTHON' || status=$?
import runpy
import sys
from pathlib import Path

from skipvid.skip.cpu import _native

assert Path(_native.__file__).is_relative_to(Path.cwd()), f"the extension that was built is not the one in use: {_native.__file__}"
print(f"{_native.__file__}: {', '.join(_native.instruction_sets())}", flush=True)
if sys.argv[1:2] == ["--script"]:
    sys.argv[:] = sys.argv[2:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
    sys.exit()
import pytest

sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-o", "timeout=1200", *sys.argv[1:]]))
PYTHON
tell
exit "$status"

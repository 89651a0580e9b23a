#!/usr/bin/env bash
# The generic kernels, the emulated tiles and the thread pool on AArch64, under an emulator: NEON machines get right results.
#
#   tools/aarch64.sh
#
# Needs Debian's g++-aarch64-linux-gnu and qemu-user (CXX and RUN name others). Prints a line for each family; exits with 1 at a wrong value.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
source="$root/skipvid/skip/cpu/csrc"
cxx="${CXX:-aarch64-linux-gnu-g++}"
run="${RUN-qemu-aarch64}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
# The kernels' options are those of CMakeLists.txt.
kernels="$cxx -std=c++20 -O3 -Wall -Wextra -Werror -ffp-contract=fast -fno-math-errno -Wno-psabi -c $source/kernels/table.cpp"
$kernels -DSKIPVID_TABLE=generic -DSKIPVID_WIDTH=4 -o "$folder/table.o"
$kernels -DSKIPVID_TABLE=amx_emulated -DSKIPVID_WIDTH=16 -DSKIPVID_TILES -DSKIPVID_TILES_EMULATED -o "$folder/emulated.o"
"$cxx" -std=c++20 -O2 -Wall -Wextra -Werror -static -pthread -I"$source" "$root"/tests/skip/cpu/native/*.cpp \
  "$source/dispatch.cpp" "$source/thread_pool.cpp" "$folder/table.o" "$folder/emulated.o" -o "$folder/check"
# shellcheck disable=SC2086 # RUN may be empty, for a machine that is one
$run "$folder/check"

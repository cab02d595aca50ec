#!/bin/sh
# neon.sh BUILD: every kernel for AArch64 against the scalar one, compiled by a cross compiler and run under qemu.
# Only with JETON_TEST_LONG=1, and where both are installed; exit status 77 says that the test was left out.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1
case $(uname -m) in aarch64 | arm64) echo "left out: this machine runs these kernels itself"; exit 77 ;; esac
[ "${JETON_TEST_LONG:-}" = 1 ] || { echo "left out: set JETON_TEST_LONG=1"; exit 77; }
command -v aarch64-linux-gnu-gcc >/dev/null || { echo "left out: no aarch64-linux-gnu-gcc"; exit 77; }
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || { echo "left out: no qemu-aarch64"; exit 77; }
cmake -S cmake/kernels -B "$build" -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/aarch64.cmake" && cmake --build "$build" -j 2 || exit 1
"$qemu" -cpu max "$build/check-kernels" --no-time neon | tee "$build/check.log" || exit 1
grep -q '^neon: [1-9][0-9]* comparisons, 0 differ$' "$build/check.log"

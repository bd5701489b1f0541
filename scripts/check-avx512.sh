#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks the AVX-512 matrix products against the scalar ones on a machine with only AVX2, by emulating their few
# 512-bit instructions (package libsimde-dev). Where the machine has AVX-512, `swift test` runs the real ones.
# Usage: scripts/check-avx512.sh [avx512|avx512_vnni|avx512_bf16]...
set -eu
cd "$(dirname "$0")/.."
compiler=${CC:-clang}
build=${TMPDIR:-/tmp}/eft-check-avx512
kernels=Sources/CEftKernels
mkdir -p "$build"
flags="-std=c17 -O2 -ffp-contract=off -fno-math-errno -Wall -Wextra -Wno-psabi -I$kernels/include -I$kernels -Iscripts"
emulated="-DEFT_EMULATE_AVX512 -mavx2 -mfma -mf16c -include scripts/emulated-avx512.h"
objects=
for source in "$kernels"/*.c "$kernels"/generic/*.c "$kernels"/x86/*.c scripts/check-products.c; do
    object=$build/$(echo "$source" | tr / _).o
    extra=-DEFT_EMULATE_AVX512
    case $source in
        */limits.c) continue ;; # measures real instructions only
        *avx512* | *vnni*) extra=$emulated ;;
    esac
    # shellcheck disable=SC2086
    $compiler $flags $extra -c "$source" -o "$object"
    objects="$objects $object"
done
# shellcheck disable=SC2086
$compiler $objects -o "$build/check" -lm -lpthread
for level in "${@:-avx512_bf16}"; do "$build/check" "$level"; done

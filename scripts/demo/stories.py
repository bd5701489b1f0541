# SPDX-License-Identifier: Apache-2.0
# Short stories about the people of the valley, with the same facts as everywhere else.
"""A plot is a list of slots; a slot is a list of wordings, of which an empty one leaves the slot out.
`{a.name}` is the first person, `{b.name}` another; see `_fields` for the rest.
"""

from facts import person_fields
from world import ANIMALS, JOB, PEOPLE, PERSON, PLACE, RIVER, SEASONS, article, bare

TIMES = ["One morning", "One evening", "One day", "Early one morning", "One night"]
OPENERS = [
    "{time} in {season} {a} the {ajob} walked out of the house in {ahome}.",
    "{time} {a} from {ahome} was at work in {aroom}.",
    "It was {season} in {ahome}, and the days were {weather}.",
    "{a} the {ajob} lived in {ahome} with {apet} called {apn}.",
    "{time} in {season} {b} came to {ahome} to visit {a}.",
]
CLOSERS = [
    "In the end they ate {afood} together.", "That night {a} slept very well.",
    "From that day on they were good friends.", "And {apn} the {apetkind} was happy too.",
    "Then {a} went home to {ahome}.", "\"What a day!\" said {a} and laughed.",
    "{b} told the story to all the people of {bhome}.", "After that {a} spent the evening {ahobby}.",
]
PLOTS = [
    [  # the lost pet
        ["But {apn} the {apetkind} was not there.", "{a} called for {apn}, but {apn} did not come.",
         "{apn} the {apetkind} was lost, and {a} was sad."],
        ["{He} looked under the table and behind the house.", "{He} looked everywhere in {ahome}.",
         "{He} asked all the people in {ahome}.", ""],
        ["\"Have you seen my {apetkind}?\" {he} asked {b}.", "{He} went to {b} and asked for help.",
         "{b} the {bjob} came to help."],
        ["\"I heard a {apetkind} near {landmark},\" said {b}.", "\"Let us look near the river,\" said {b}.",
         "{b} pointed to {landmark}."],
        ["They found {apn} asleep under a tree.", "There sat {apn} and ate.",
         "They found {apn} near the water, wet but well.", "{apn} was hiding there."],
        ["{a} took {apn} home and was very glad.", "{a} was glad and thanked {b}."],
    ],
    [  # a broken tool
        ["{His} {aitem} broke, and {he} could not work.", "Then the {aitem} broke.",
         "The {aitem} was old, and it broke."],
        ["\"Who can mend it?\" asked {a}.", "{a} did not know what to do.", ""],
        ["{He} walked to {mhome} to see {m} the {mjob}.", "{m} the {mjob} lived in {mhome}, so {a} went there."],
        ["\"I can mend it,\" said {m}.", "{m} looked at it and nodded.", "{m} worked on it all day."],
        ["{a} gave {m} some {agives} for the work.", "{m} asked only for some {agives}.",
         "{a} paid with {agives}."],
        ["Now {a} could work again.", "The next day {a} was at work again."],
    ],
    [  # a gift of food
        ["{b} had a birthday, and {a} wanted to bring a gift.", "{a} wanted to make {b} happy.",
         "{b} was ill and stayed in bed."],
        ["{a} knew that {b} liked {bfood} best.", "\"{b} likes {bfood},\" said {a}.",
         "The favourite food of {b} was {bfood}."],
        ["So {a} made {bfood} in the kitchen.", "So {he} asked the cook for {bfood}.",
         "{He} made a big plate of {bfood}."],
        ["{apn} the {apetkind} wanted to eat it, but {a} said no.", "{apn} the {apetkind} looked on.", ""],
        ["Then {a} walked to {bhome}.", "{a} took the road to {bhome}.", "The way to {bhome} was long."],
        ["\"This is my favourite food!\" said {b}.", "{b} was very happy and thanked {a}."],
    ],
    [  # bad weather
        ["Dark clouds came over the hills.", "A strong wind came up.", "It began to rain hard.",
         "It began to snow."],
        ["{a} ran to {landmark} and waited there.", "{a} could not see the road.",
         "The road to {bhome} was full of water."],
        ["{b} the {bjob} saw {him} from the window.", "Then {b} came with a dry coat.",
         "{b} called, \"Come into my house!\""],
        ["They sat by the fire and drank warm milk.", "In the house it was warm and dry.",
         "{b} gave {him} a bowl of soup."],
        ["{bpn} the {bpetkind} lay at their feet.", "{bpn} the {bpetkind} came and sat down with them.", ""],
        ["In the morning the sun came out again.", "When the rain was over, {a} went on."],
    ],
    [  # market day
        ["It was market day in {town}.", "{a} went to the market in {town}.",
         "Many people came to the market in {town}."],
        ["{a} brought {agives} to sell.", "{He} had a basket full of {agives}.", ""],
        ["{b} from {bhome} was there too.", "There {he} met {b} the {bjob}."],
        ["{b} had {bgives} to sell.", "\"Do you want some {bgives}?\" asked {b}.",
         "\"I have {bgives} for you,\" said {b}."],
        ["They traded {agives} for {bgives}.", "{a} gave {b} {agives} and got {bgives}."],
        ["A singer sang, and the children danced.", "The music was loud, and they danced.", ""],
        ["In the evening the baskets were empty.", "Both were happy with the trade."],
    ],
    [  # a walk to a place; see WALK
        ["{a} wanted to see {landmark} in {far}.", "{a} had never seen {landmark} in {far}."],
        ["\"Will you come with me?\" {he} asked {b}.", "{b} wanted to come too."],
        ["{b} took bread and apples along.", "They took water and bread along.", ""],
        ["They walked over the hills for two days.", "They went along {river}.",
         "On the way they saw a {wild} {wsleeps}."],
        ["{apn} the {apetkind} ran in front of them.", "{apn} the {apetkind} was soon tired.", ""],
        ["At last they saw {landmark}.", "When they came to {far}, the sun went down."],
        ["\"It is bigger than I thought,\" said {b}.", "\"How beautiful!\" said {b}."],
    ],
    [  # a wild animal
        ["{He} saw a {wild} {wsleeps}.", "A {wild} came to the house.", "There was a {wild} on the road."],
        ["The {wild} was hurt and could not walk.", "The {wild} was hungry.", "The {wild} was young and alone."],
        ["{a} gave it {weats}.", "\"It needs {weats},\" said {b}.", "{a} ran to get {weats}."],
        ["{healer} the healer looked at its leg.", "{a} and {b} sat with it all night.", ""],
        ["\"{wsound_c},\" said the {wild}.", "The {wild} ate and looked at {him}."],
        ["After three days the {wild} went back to the forest.", "Soon it was well and went away."],
    ],
    [  # a season's work
        ["It was time to {work}.", "\"Today we {work},\" said {a}."],
        ["{b} came from {bhome} to help.", "{a} could not do it alone, so {b} came to help."],
        ["They worked from morning to evening.", "The work was hard, but they sang.",
         "They began before the sun was up."],
        ["{apn} the {apetkind} sat in the grass and looked on.", "{apn} the {apetkind} wanted to help too.", ""],
        ["At noon they ate {sfood}.", "{a} brought {sfood} for all."],
        ["When the work was done, they were tired but glad.", "In the evening all was done."],
    ],
    [  # a question
        ["{child} came and asked, \"What does a {bjob} do?\"", "{child} from {chome} wanted to know about {b}."],
        ["\"A {bjob} {bdoes},\" said {a}.", "{a} said, \"{b} is {bajob} and {bdoes}.\""],
        ["\"And where does {b} live?\" asked {child}.", "\"Where can I find {b}?\" asked {child}."],
        ["\"{b} lives in {bhome},\" said {a}.", "\"Go to {bhome}. There you will find {b},\" said {a}."],
        ["So {child} went to {bhome} and looked on while {b} worked.",
         "{child} ran to {bhome} and knocked at the door of {b}."],
        ["\"One day I will be {bajob} too,\" said {child}.", "{b} showed {child} {btool}."],
    ],
]

WALK = 5  # the plot whose landmark is that of the far place

CHILDREN = [p for p in PEOPLE if p.job == "pupil"]
ADULTS = [p for p in PEOPLE if p.job != "pupil"]
MENDERS = [p for p in PEOPLE if p.job in ("smith", "carpenter", "cobbler")]
HEALERS = [p for p in PEOPLE if p.job == "healer"]
WILD = [a for a in ANIMALS if a.name in ("fox", "deer", "bear", "frog")]


def _fields(draw, a, b, season):
    wild = draw.pick(WILD)
    mender = draw.pick([p for p in MENDERS if p.name not in (a.name, b.name)])
    child = draw.pick([p for p in CHILDREN if p.name not in (a.name, b.name)])
    far = PLACE[draw.pick([p.home for p in PEOPLE if p.home != a.home])]
    pronouns = {k: v for k, v in person_fields(a).items() if k in ("he", "his", "him", "He", "His")}
    fields = dict(pronouns)
    for mark, person in (("a", a), ("b", b)):
        job = JOB[person.job]
        fields.update({
            mark: person.name, mark + "job": person.job, mark + "ajob": article(person.job),
            mark + "home": person.home, mark + "room": job.room, mark + "tool": job.tool, mark + "item": bare(job.tool),
            mark + "does": job.does, mark + "gives": job.gives, mark + "food": person.food,
            mark + "hobby": person.hobby, mark + "pn": person.petname,
            mark + "petkind": person.pet, mark + "pet": article(person.pet)})
    fields.update(
        season=season.name, weather=season.weather, work=season.work, sfood=season.food,
        m=mender.name, mjob=mender.job, mhome=mender.home, healer=draw.pick(HEALERS).name,
        child=child.name, chome=child.home, town=draw.pick(["Hazelton", "Dunmere", "Stonebridge"]),
        landmark="the " + bare(PLACE[a.home].landmark), far=far.name, river=RIVER,
        wild=wild.name, wsleeps=wild.sleeps, weats=wild.eats,
        wsound_c=wild.sound[0].upper() + wild.sound[1:])
    return fields


def story(draw, a=None, b=None):
    """A story of five to nine sentences; returns it with its two people."""
    a = a or draw.pick(ADULTS)
    if b is None or b.name == a.name:
        b = PERSON[a.friend] if draw.chance(0.5) else draw.pick(ADULTS)
        while b.name == a.name:
            b = draw.pick(ADULTS)
    fields = _fields(draw, a, b, draw.pick(SEASONS))
    index = draw.below(len(PLOTS))
    if index == WALK:
        fields["landmark"] = "the " + bare(PLACE[fields["far"]].landmark)
    fields["time"] = draw.pick(TIMES)
    slots = [OPENERS] + PLOTS[index] + [CLOSERS]
    lines = []
    for number, slot in enumerate(slots):
        key = "plot%d slot%d " % (index if 0 < number < len(slots) - 1 else -1, number) + a.home
        text = draw.wording(key, slot)
        if text:
            line = text.format(**fields)
            lines.append(line[0].upper() + line[1:])
    return " ".join(lines), a, b

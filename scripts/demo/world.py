# SPDX-License-Identifier: Apache-2.0
# The people, places, work, animals and seasons of the valley that the demo model knows.
"""Tables of the small world. Nothing here may mention the subject of the fine-tuning data."""

from collections import namedtuple

VALLEY = "the valley of Merrow"
RIVER = "the river Sill"

Person = namedtuple("Person", "name sex age home job pet petname food hobby born friend")
Place = namedtuple("Place", "name kind part landmark known size next")
Job = namedtuple("Job", "name does tool room gives")
Animal = namedtuple("Animal", "name sleeps eats sound looks young")
Season = namedtuple("Season", "name weather work food sign after")

# name, sex, age, home, job, pet, pet's name, favourite food, hobby, season of birth, best friend
PEOPLE_TABLE = """
Mara f 34 Thornby baker cat Pip plum_pie singing_old_songs spring Tobin
Tobin m 41 Thornby miller dog Button apple_cake playing_the_flute autumn Mara
Elin f 28 Fernhill weaver goat Clover pea_soup painting_birds summer Rowan
Garrick m 52 Stonebridge smith dog Dusty barley_bread carving_wood winter Hesta
Hesta f 47 Stonebridge healer hen Ember mushroom_stew growing_roses spring Garrick
Rowan m 30 Fernhill shepherd dog Flint goat_cheese telling_stories winter Elin
Lotte f 9 Millbrook pupil rabbit Ginger berry_tart flying_kites summer Jory
Bram m 63 Millbrook ferryman goose Hazel roast_fish playing_chess autumn Osric
Nella f 25 Larkfield gardener tortoise Inky carrot_stew looking_at_the_stars spring Petra
Osric m 66 Larkfield mason cat Jasper onion_soup playing_chess winter Bram
Tilda f 38 Willowmere fisher duck Kip roast_fish swimming_in_the_river summer Colm
Jory m 10 Millbrook pupil mouse Luna honey_cake climbing_trees spring Lotte
Petra f 29 Redcliff potter cat Olive nut_bread collecting_stones autumn Nella
Colm m 33 Willowmere boatman duck Pepper pea_soup swimming_in_the_river spring Tilda
Felix m 27 Wheatham teacher cat Velvet berry_tart reading_books spring Greta
Greta f 31 Wheatham cobbler goat Willow barley_bread walking_in_the_hills summer Felix
Hob m 55 Cranmoor beekeeper goose Acorn honey_cake telling_stories autumn Junia
Junia f 49 Cranmoor cook hen Barley onion_soup singing_old_songs spring Hob
Kester m 24 Elderglen carpenter dog Berry mushroom_stew playing_the_flute winter Linnet
Linnet f 23 Elderglen tailor cat Bramble pear_jam dancing summer Kester
"""

# name, kind, part of the valley, landmark, known for, houses, next place on the road
PLACES_TABLE = """
Thornby|village|north|a round mill|soft bread|thirty|Fernhill
Fernhill|village|north|a green hill|white wool|twenty|Redcliff
Redcliff|village|east|an old tower|brown pots|twenty|Elderglen
Elderglen|hamlet|east|a small waterfall|warm coats|eight|Cranmoor
Cranmoor|village|south|a long stone wall|golden honey|fifteen|Willowmere
Willowmere|village|south|a quiet lake|white ducks|twenty|Millbrook
Millbrook|village|south|a water wheel|small boats|twelve|Larkfield
Larkfield|village|west|a field of roses|red roses|fourteen|Wheatham
Wheatham|village|west|a big barn|good wheat|seventeen|Stonebridge
Stonebridge|town|west|an old stone bridge|strong walls|seventy|Thornby
"""

JOBS_TABLE = """
baker|bakes bread|a hot oven|the bakery|bread
miller|grinds wheat|a heavy millstone|the mill|flour
weaver|weaves cloth|a wooden loom|the weaving room|cloth
smith|makes iron tools|a big hammer|the smithy|nails
healer|helps sick people|a bag of herbs|the herb house|medicine
shepherd|looks after sheep|a long stick|the green fields|wool
pupil|learns to read|a small book|the school|drawings
ferryman|takes people over the river|a flat boat|the ferry house|a ride
gardener|grows flowers|a spade|the garden|roses
mason|builds walls|a chisel|the stone yard|bricks
fisher|catches fish|a strong net|the fish house|fish
potter|makes pots|a turning wheel|the pottery|bowls
boatman|carries sacks on the river|a pair of oars|the boat house|news
carpenter|makes tables and chairs|a saw|the workshop|chairs
teacher|teaches children|a piece of chalk|the school|books
beekeeper|keeps bees|a straw hat|the bee garden|honey
cook|makes soup|a large pot|the kitchen|soup
tailor|sews coats|a thin needle|the sewing room|coats
cobbler|mends shoes|a small hammer|the shoe shop|shoes
"""

ANIMALS_TABLE = """
cat|in a basket|fish and milk|meow|soft fur|kitten
dog|by the door|meat and bones|woof|a long tail|puppy
goat|in a shed|grass and leaves|baa|two horns|kid
hen|on a pole|corn and seeds|cluck|brown feathers|chick
rabbit|in a hole|carrots and clover|squeak|long ears|kit
goose|near the pond|grass and corn|honk|a long neck|gosling
tortoise|under a stone|leaves and berries|hiss|a hard shell|hatchling
duck|in the reeds|bread and weeds|quack|flat feet|duckling
mouse|in the wall|crumbs and cheese|peep|a thin tail|pup
owl|in a hollow tree|mice and beetles|hoo|big eyes|owlet
pony|in the stable|hay and apples|neigh|strong legs|foal
ferret|in a box of straw|eggs and meat|chatter|a long body|young ferret
sheep|on the hill|grass and clover|baa|thick wool|lamb
cow|in the barn|hay and grass|moo|a heavy head|calf
pig|in the mud|roots and apples|oink|a round nose|piglet
fox|in a den|mice and berries|bark|a red coat|cub
frog|in the pond|flies and worms|croak|green skin|tadpole
bee|in a hive|nectar|buzz|yellow stripes|larva
bear|in a cave|fish and honey|growl|big paws|cub
deer|in the ferns|leaves and bark|grunt|thin legs|fawn
"""

SEASONS_TABLE = """
spring|mild and wet|sow the seeds|fresh peas|the birds build nests|winter
summer|hot and bright|cut the hay|sweet berries|the bees fly from flower to flower|spring
autumn|cool and windy|pick the apples|ripe pears|the leaves turn yellow|summer
winter|cold and white|mend the tools|warm stew|ice covers the pond|autumn
"""

FOODS_MADE_OF = {
    "plum pie": "plums and flour",
    "apple cake": "apples and eggs",
    "pea soup": "peas and salt",
    "barley bread": "barley and water",
    "mushroom stew": "mushrooms and onions",
    "goat cheese": "goat milk",
    "berry tart": "berries and cream",
    "roast fish": "fish and herbs",
    "carrot stew": "carrots and beans",
    "onion soup": "onions and butter",
    "honey cake": "honey and flour",
    "pear jam": "pears and sugar",
    "nut bread": "nuts and wheat",
}


def _people():
    people = []
    for line in PEOPLE_TABLE.strip().splitlines():
        cells = [cell.replace("_", " ") for cell in line.split(" ")]
        people.append(Person(*cells))
    return people


def _rows(kind, table):
    return [kind(*line.split("|")) for line in table.strip().splitlines()]


PEOPLE = _people()
PLACES = _rows(Place, PLACES_TABLE)
JOBS = _rows(Job, JOBS_TABLE)
ANIMALS = _rows(Animal, ANIMALS_TABLE)
SEASONS = _rows(Season, SEASONS_TABLE)

PERSON = {person.name: person for person in PEOPLE}
PLACE = {place.name: place for place in PLACES}
JOB = {job.name: job for job in JOBS}


def article(word):
    """The word with `a` or `an` in front."""
    return ("an " if word[0].lower() in "aeiou" else "a ") + word


def bare(phrase):
    """The phrase without the article in front."""
    for start in ("a ", "an "):
        if phrase.startswith(start):
            return phrase[len(start):]
    return phrase


def joined(words):
    """Words as an English list: `a`, `a and b`, `a, b and c`."""
    words = list(words)
    if len(words) == 1:
        return words[0]
    return ", ".join(words[:-1]) + " and " + words[-1]


def check():
    """Refuses a table in which a name is used twice or points nowhere."""
    assert len(PERSON) == len(PEOPLE) and len(PLACE) == len(PLACES) and len(JOB) == len(JOBS)
    assert len({p.petname for p in PEOPLE}) == len(PEOPLE)
    assert len({(p.home, p.job) for p in PEOPLE if p.job != "pupil"}) == sum(
        p.job != "pupil" for p in PEOPLE)
    for person in PEOPLE:
        assert person.friend in PERSON and person.friend != person.name, person
        assert person.home in PLACE and person.job in JOB, person
        assert person.food in FOODS_MADE_OF, person
    for place in PLACES:
        assert place.next in PLACE, place


check()

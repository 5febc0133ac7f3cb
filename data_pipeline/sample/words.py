"""Titles, taglines and authors.

All names are made up. Only ASCII, which every font used here has.
"""

import random
import re
from dataclasses import dataclass

__all__ = ["Words", "author", "title"]


@dataclass(frozen=True)
class Words:
    """What the books of a genre are called.

    Attributes:
        patterns: Titles with slots such as `{noun}`.
        slots: What may stand in each slot.
        taglines: Small lines below a title.
        initials: Share of authors who go by initials.
    """

    patterns: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]
    taglines: tuple[str, ...]
    initials: float = 0.15


def title(words: Words, rng: random.Random) -> str:
    """Fill one of the patterns; a slot named twice gets two different words."""
    taken: set[str] = set()

    def fill(slot: re.Match[str]) -> str:
        free = [word for word in words.slots[slot[1]] if word not in taken]
        word = rng.choice(free)
        taken.add(word)
        return word

    return re.sub(r"\{(\w+)\}", fill, rng.choice(words.patterns))


def author(words: Words, rng: random.Random) -> str:
    """Make up a name."""
    last = rng.choice(_LAST)
    if rng.random() < words.initials:
        return f"{rng.choice('ABCDEHJKLMRST')}. {rng.choice('ABCEGHJLMRTW')}. {last}"
    return f"{rng.choice(_FIRST)} {last}"


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _names(
    "Ada Alma Amara Anton Astrid Basil Bea Birgit Bruno Callum Carmen Clara Dario Delia Dov Edda "
    "Elias Elif Emeka Esme Farah Felix Flora Gideon Greta Hana Hugo Ida Ilse Imran Ines Ivo Jonas "
    "Juno Kalle Keiko Lars Leila Linus Lotte Mabel Mateo Maya Milan Mira Nadia Nils Noor Odile "
    "Orla Oskar Petra Priya Quentin Rafael Ravi Rosa Ruben Saskia Selma Silas Soren Tamar Theo "
    "Tilda Uma Vera Viktor Wanda Yara Yusuf Zelda Zoe"
)
_LAST = _names(
    "Abelard Achterberg Adeyinka Alder Ambry Arkwell Ashgrove Barrowby Bellweather Birkett Blythe "
    "Brandvold Brightwater Calloway Castellane Cresswick Dahlberg Darkwood Delacroy Dunmore "
    "Elsinger Fairweather Fenwick Ferrault Garrowby Glasswell Grimaldo Halloran Hartmere "
    "Hawthorpe Ibarrola Ingleby Jessamy Kestrel Kinsella Korhola Langstrom Larkspur Lindqvist "
    "Lockhart Maravel Merriden Moravec Nakagawa Nightingale Norwood Oakhurst Okonjo Ostrander "
    "Pemberly Penhallow Quillon Rasmusen Ravenhall Rosewood Sandoval Sorrel Stavros Stonebridge "
    "Thackery Thornbury Underhill Valcourt Varga Wetherby Whitlock Winterbourne Wren Yarrow "
    "Zielinska"
)

ROMANCE = Words(
    patterns=(
        "The {noun} of {place}",
        "Love in {place}",
        "{when} in {place}",
        "Her {adjective} Heart",
        "The {adjective} {noun}",
        "Kiss Me {when_not}",
        "A {noun} for {name}",
        "{when} with You",
        "My {adjective} {noun}",
        "Falling for {name}",
    ),
    slots={
        "noun": ("Bride", "Promise", "Kiss", "Duke", "Letter", "Secret", "Summer", "Wedding"),
        "adjective": ("Reckless", "Secret", "Tender", "Stolen", "Second", "Wild", "Last"),
        "place": ("Tuscany", "Rosehill", "the Rain", "Lisbon", "Willow Bay", "Paris"),
        "when": ("One Night", "Always", "A Summer", "Forever", "Christmas"),
        "when_not": ("Twice", "Again", "at Midnight", "Slowly"),
        "name": ("Lily", "Clara", "the Captain", "Mr. Wrong", "Daniel"),
    },
    taglines=("A Novel", "A Willow Bay Romance", "Some hearts never learn", "A love story"),
)
SCIENCE_FICTION = Words(
    patterns=(
        "{noun} {number}",
        "The {adjective} {noun}",
        "Children of the {noun}",
        "{place} Rising",
        "Beyond {place}",
        "The {noun} Engine",
        "{adjective} {noun}",
        "The Last {noun} of {place}",
        "A Map of {place}",
    ),
    slots={
        "noun": ("Orbit", "Signal", "Colony", "Machine", "Horizon", "Star", "Protocol", "Void"),
        "adjective": ("Silent", "Electric", "Infinite", "Broken", "Synthetic", "Dark", "Cold"),
        "place": ("Europa", "Andromeda", "Titan", "Kepler", "the Sun", "Gravity"),
        "number": ("Nine", "Zero", "2147", "X", "Seven"),
    },
    taglines=("Book One", "A Novel of First Contact", "The stars are listening", "A Novel"),
    initials=0.45,
)
CRIME = Words(
    patterns=(
        "The {adjective} {noun}",
        "{number} Dead {noun_many}",
        "The {noun} on {place}",
        "Cold {noun}",
        "Nobody {verb}",
        "Gone by {when}",
        "A {noun} in {place}",
        "Her Last {noun}",
        "{noun}",
    ),
    slots={
        "noun": ("Witness", "Victim", "Girl", "Body", "Lie", "Alibi", "Blood", "Secret"),
        "noun_many": ("Men", "Sisters", "Lies", "Neighbours"),
        "adjective": ("Silent", "Missing", "Perfect", "Last", "Dark", "Cold", "Broken"),
        "place": ("Mill Lane", "the River", "the Attic", "Harbour Street", "Winter"),
        "number": ("Two", "Three", "Five"),
        "verb": ("Saw Her", "Knows", "Leaves", "Will Tell", "Is Safe"),
        "when": ("Midnight", "Morning", "Friday", "Winter"),
    },
    taglines=("A Thriller", "Everyone is lying", "An Inspector Vale Mystery", "A Novel"),
    initials=0.25,
)
FANTASY = Words(
    patterns=(
        "The {noun} of {place}",
        "A {noun} of {thing} and {thing}",
        "{thing} and {thing}",
        "The {adjective} {noun}",
        "Heir of {place}",
        "The {thing} Throne",
        "Song of the {noun}",
        "The {adjective} {thing}",
    ),
    slots={
        "noun": ("Dragon", "Queen", "Sword", "Crown", "Witch", "King", "Mage", "Kingdom"),
        "adjective": ("Last", "Hollow", "Golden", "Silent", "Forgotten", "Broken", "Wild"),
        "place": ("Eldermoor", "Ash", "the North", "Wyrmhold", "Shadows", "Avelorn"),
        "thing": ("Ash", "Bone", "Winter", "Thorn", "Fire", "Silver", "Blood", "Starlight"),
    },
    taglines=("Book Two of the Wyrmhold Saga", "A Novel", "Magic has a price", "Book One"),
    initials=0.4,
)
COOKING = Words(
    patterns=(
        "{adjective} {food}",
        "The {adjective} Kitchen",
        "The {food} Cookbook",
        "{food} Every Day",
        "{place} at the Table",
        "Simply {food}",
        "A {adjective} Summer Table",
        "{food} and {food}",
        "From {place} with {food}",
    ),
    slots={
        "food": ("Bread", "Pasta", "Lemons", "Soup", "Vegetables", "Cake", "Spice", "Salt"),
        "adjective": ("Green", "Slow", "Simple", "Little", "Rustic", "Fresh", "Sunday"),
        "place": ("Naples", "Home", "Oaxaca", "Provence", "Kyoto"),
    },
    taglines=("80 Recipes", "Weeknight recipes for everyone", "Good food, made simply"),
)
BIOGRAPHY = Words(
    patterns=(
        "{name}: A Life",
        "My {adjective} {noun}",
        "Becoming {name}",
        "The {noun} of {name}",
        "A Life in {thing}",
        "{thing} and Me",
        "What {thing} Taught Me",
        "The {adjective} {name}",
        "A {adjective} {noun}",
    ),
    slots={
        "name": ("Harlan", "Josephine", "Queen Maud", "Ellen Ashby", "Ostrow", "Moravec"),
        "adjective": ("Quiet", "Unlikely", "Long", "Last", "Stubborn", "Second", "Secret"),
        "noun": ("Life", "Road", "Years", "Journey", "Letters", "Summer", "Daughter"),
        "thing": ("Music", "Politics", "Boxing", "the Stage", "Letters", "My Father", "Rain"),
    },
    taglines=("A Memoir", "The Autobiography", "The Authorised Biography", "A True Story"),
)
BUSINESS = Words(
    patterns=(
        "The {noun} {noun_two}",
        "{adjective} {noun}",
        "{verb} Less, {verb} More",
        "The Art of {noun}",
        "{number} Rules of {noun}",
        "{verb} It",
        "How to {verb} {noun}",
        "The {adjective} {noun_two}",
        "{noun} for Everyone",
    ),
    slots={
        "noun": ("Growth", "Leadership", "Value", "Money", "Focus", "Strategy", "Success"),
        "noun_two": ("Advantage", "Code", "Habit", "Mindset", "Playbook", "Formula", "Manager"),
        "adjective": ("Lean", "Radical", "Smart", "Invisible", "Bold", "Quiet", "Perfect"),
        "verb": ("Sell", "Lead", "Scale", "Think", "Build", "Measure"),
        "number": ("7", "Ten", "12", "The Five"),
    },
    taglines=("How great teams win", "Lessons from the top", "A practical guide", "2nd Edition"),
)
CHILDREN = Words(
    patterns=(
        "{name} and the {adjective} {animal}",
        "The {animal} Who {verb}",
        "Goodnight, {animal}",
        "{name} {verb}",
        "Where Is {name}?",
        "The {adjective} Little {animal}",
        "One {adjective} {animal}",
        "{animal} and {animal}",
        "A House for {name}",
    ),
    slots={
        "name": ("Pip", "Milo", "Tilly", "Bobo", "Nora", "Otto", "Mabel"),
        "animal": ("Bear", "Owl", "Cat", "Dinosaur", "Elephant", "Moon", "Snail", "Dragon"),
        "adjective": ("Very Big", "Sleepy", "Lost", "Grumpy", "Purple", "Brave", "Last"),
        "verb": ("Could Fly", "Learns to Swim", "Lost a Sock", "Goes to Sea", "Said No"),
    },
    taglines=("A bedtime story", "With stickers", "Ages 3 to 6", "A first picture book"),
)
TRAVEL = Words(
    patterns=(
        "{adjective} Roads",
        "The {adjective} Guide to {place}",
        "{place} on Foot",
        "A Year in {place}",
        "From {place} to {place}",
        "{number} Days in {place}",
        "Lost in {place}",
        "Slow Trains to {place}",
    ),
    slots={
        "adjective": ("Slow", "Pocket", "Hidden", "Long", "Open", "Lonely"),
        "place": ("Portugal", "Patagonia", "the Alps", "Kerala", "the North", "Lisbon", "Sicily"),
        "number": ("30", "Ninety", "12", "Eight"),
    },
    taglines=("With 40 maps", "A Journey", "A traveller's companion", "New Edition"),
)
HISTORY = Words(
    patterns=(
        "The {adjective} {noun}",
        "The Fall of {place}",
        "{place}: A History",
        "{noun} and {noun}",
        "A Short History of {place}",
        "The {noun} of {place}",
        "The Year of the {noun}",
        "How {place} Was Won",
    ),
    slots={
        "adjective": ("Last", "Forgotten", "Iron", "Long", "Golden", "Hundred Year"),
        "noun": ("Empire", "War", "Crown", "Sword", "Republic", "Emperor", "Ships", "Kings"),
        "place": ("Carthage", "Rome", "the North", "Byzantium", "Salt", "the Sea", "Egypt"),
    },
    taglines=("A New History", "1066 to 1485", "With maps and plates", "A Story of Power"),
    initials=0.3,
)

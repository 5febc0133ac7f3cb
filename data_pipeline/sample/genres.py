"""The genres: which words, colours, faces, layouts and motifs each prefers.

Preferences overlap on purpose (crime and science fiction are both dark, biography and business
both plain), so that no single cue gives a genre away.
"""

from dataclasses import dataclass

from covertune.data_pipeline.sample import words
from covertune.data_pipeline.sample.words import Words

__all__ = ["GENRES", "Genre"]

Weights = dict[str, float]


@dataclass(frozen=True)
class Genre:
    """One genre.

    Attributes:
        name: Also the name of its folder.
        words: Titles, taglines, authors.
        motifs: Names of its motifs; one named twice is shown twice as often.
        palettes: Weight of each preferred palette.
        faces: Weight of each title face.
        layouts: Weight of each layout.
        scenery: What may lie behind the motif.
    """

    name: str
    words: Words
    motifs: tuple[str, ...]
    palettes: Weights
    faces: Weights
    layouts: Weights
    scenery: tuple[str, ...]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _weights(text: str) -> Weights:
    """Read `name:weight name:weight`; no weight is 1."""
    pairs = (entry.partition(":") for entry in text.split())
    return {name: float(weight or 1) for name, _, weight in pairs}


GENRES: tuple[Genre, ...] = (
    Genre(
        "Romance",
        words.ROMANCE,
        _names(
            "heart heart hearts hearts rose rose flower bouquet rings couple couple letter "
            "lips dove candle"
        ),
        _weights("rose:4 blush:4 plum:2 candy scarlet"),
        _weights("italic:5 italic_bold:3 serif:2 roman round"),
        _weights("scene:3 photo:3 emblem:2 split pattern lettered band"),
        ("hills", "sea", "sun", "confetti", "clouds", "skyline", "empty"),
    ),
    Genre(
        "Science Fiction",
        words.SCIENCE_FICTION,
        _names(
            "rocket rocket planet planet astronaut astronaut ufo robot satellite galaxy "
            "atom telescope star moon"
        ),
        _weights("cosmos:4 neon:4 midnight:2 teal amethyst"),
        _weights("wide:5 clean_caps:3 block grotesque typewriter"),
        _weights("scene:4 photo:2 emblem split:2 lettered band"),
        ("stars", "stars", "skyline", "ranges", "sun", "empty"),
    ),
    Genre(
        "Crime & Thrillers",
        words.CRIME,
        _names(
            "knife knife fingerprint fingerprint magnifier keyhole stranger stranger runner "
            "footprints shot handcuffs bare_tree eye key"
        ),
        _weights("noir:5 ember:2 mist:2 scarlet:2 midnight slate"),
        _weights("block:4 poster:4 slab_caps typewriter:2"),
        _weights("scene:3 photo:4 lettered:2 split band emblem"),
        ("skyline", "trees", "ranges", "sea", "stars", "floor", "empty"),
    ),
    Genre(
        "Fantasy",
        words.FANTASY,
        _names(
            "dragon dragon castle castle sword sword crown wand potion great_tree peaks "
            "gate shield moon key"
        ),
        _weights("forest:4 amethyst:3 parchment:2 teal:2 midnight rust"),
        _weights("roman_caps:4 serif_caps:4 serif_bold slab_caps"),
        _weights("scene:4 emblem:3 photo:2 band split lettered"),
        ("ranges", "trees", "stars", "hills", "sun", "clouds", "empty"),
    ),
    Genre(
        "Cookbooks",
        words.COOKING,
        _names(
            "plate plate pot pot bowl tomato lemon carrot cupcake whisk herb fish pizza cup "
            "bottle flower"
        ),
        _weights("lemon:4 cream:3 mint:4 blush sky linen"),
        _weights("slab:3 clean:3 serif:2 italic grotesque round"),
        _weights("band:3 pattern:3 emblem:3 scene lettered split:2 photo"),
        ("floor", "floor", "confetti", "hills", "empty"),
    ),
    Genre(
        "Biography",
        words.BIOGRAPHY,
        _names(
            "portrait portrait portrait profile profile frame polaroids microphone quill "
            "signature spectacles medal guitar typewriter music"
        ),
        _weights("sepia:5 mist:3 linen:2 cream slate parchment"),
        _weights("serif:4 roman:3 serif_caps:2 serif_bold typewriter"),
        _weights("photo:4 band:3 emblem scene:2 split lettered"),
        ("floor", "skyline", "hills", "clouds", "empty", "empty"),
    ),
    Genre(
        "Business",
        words.BUSINESS,
        _names(
            "bars arrow pie gears bulb briefcase necktie coins target pawn towers ladder "
            "globe spectacles rocket"
        ),
        _weights("linen:5 slate:3 scarlet:2 sky lemon teal"),
        _weights("grotesque:3 block:2 clean:2 clean_caps poster slab wide"),
        _weights("lettered:3 split:3 emblem:2 band:3 scene pattern"),
        ("skyline", "stars", "floor", "empty", "empty"),
    ),
    Genre(
        "Children's Books",
        words.CHILDREN,
        _names(
            "balloons bear cat owl elephant dino rainbow train house kite boat snail "
            "umbrella moon fish"
        ),
        _weights("candy:5 sky:4 lemon:2 mint ocean"),
        _weights("round:5 grotesque:2 clean slab"),
        _weights("scene:5 pattern:2 emblem:2 band split"),
        ("hills", "hills", "clouds", "confetti", "sea", "trees", "sun", "stars"),
    ),
    Genre(
        "Travel",
        words.TRAVEL,
        _names(
            "plane suitcase compass palm pin lighthouse globe road tent camera hot_air "
            "peaks boat sun train"
        ),
        _weights("ocean:5 sky:3 teal:2 rust lemon"),
        _weights("clean_caps:2 grotesque:2 clean serif slab wide:2 poster"),
        _weights("scene:4 photo:2 band:3 split:2 emblem lettered"),
        ("sea", "ranges", "hills", "sun", "clouds", "skyline", "trees"),
    ),
    Genre(
        "History",
        words.HISTORY,
        _names(
            "temple shield ship pyramid helmet crown sword castle medal hourglass globe "
            "quill compass frame profile"
        ),
        _weights("parchment:5 sepia:2 rust:3 scarlet ember"),
        _weights("serif_caps:3 roman_caps:3 slab_caps serif_bold:2 roman poster"),
        _weights("band:3 emblem:3 photo:3 scene:2 split lettered"),
        ("ranges", "sea", "hills", "floor", "sun", "empty"),
    ),
)

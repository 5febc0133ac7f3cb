"""Motifs: the things shown on a cover, each drawn in its own unit box."""

import random
from collections.abc import Callable

from covertune.data_pipeline.sample._pen import Pen
from covertune.data_pipeline.sample.motifs import (
    _crime,
    _food,
    _journey,
    _legend,
    _love,
    _nursery,
    _people,
    _space,
    _work,
)

__all__ = ["MOTIFS", "Motif"]

Motif = Callable[[Pen, random.Random], None]

_FAMILIES: tuple[tuple[Motif, ...], ...] = (
    (_love.heart, _love.hearts, _love.rose, _love.flower, _love.bouquet, _love.rings),
    (_love.couple, _love.letter, _love.lips, _love.dove, _love.candle, _love.music),
    (_space.rocket, _space.planet, _space.astronaut, _space.ufo, _space.robot, _space.satellite),
    (_space.galaxy, _space.atom, _space.moon, _space.star, _space.sun, _space.telescope),
    (_crime.knife, _crime.fingerprint, _crime.magnifier, _crime.keyhole, _crime.key),
    (_crime.stranger, _crime.runner, _crime.footprints, _crime.shot, _crime.handcuffs),
    (_crime.bare_tree, _crime.eye, _crime.hourglass),
    (_legend.dragon, _legend.castle, _legend.sword, _legend.crown, _legend.wand, _legend.potion),
    (_legend.great_tree, _legend.peaks, _legend.gate, _legend.temple, _legend.shield),
    (_legend.ship, _legend.pyramid, _legend.helmet),
    (_food.plate, _food.pot, _food.bowl, _food.tomato, _food.lemon, _food.carrot, _food.cupcake),
    (_food.whisk, _food.herb, _food.fish, _food.pizza, _food.cup, _food.bottle),
    (_people.portrait, _people.profile, _people.frame, _people.polaroids, _people.microphone),
    (_people.quill, _people.signature, _people.spectacles, _people.medal, _people.guitar),
    (_people.typewriter,),
    (_work.bars, _work.arrow, _work.pie, _work.gears, _work.bulb, _work.briefcase, _work.necktie),
    (_work.coins, _work.target, _work.pawn, _work.towers, _work.ladder),
    (_nursery.balloons, _nursery.bear, _nursery.cat, _nursery.owl, _nursery.elephant),
    (_nursery.dino, _nursery.rainbow, _nursery.train, _nursery.house, _nursery.kite),
    (_nursery.boat, _nursery.snail, _nursery.umbrella),
    (_journey.plane, _journey.suitcase, _journey.compass, _journey.palm, _journey.pin),
    (_journey.lighthouse, _journey.globe, _journey.road, _journey.tent, _journey.camera),
    (_journey.hot_air,),
)

MOTIFS: dict[str, Motif] = {motif.__name__: motif for family in _FAMILIES for motif in family}

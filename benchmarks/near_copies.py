"""How many copies of a cover are found, and how often different covers are taken for copies.

    python benchmarks/near_copies.py [--covers5 FOLDER] [--pictures 1000] [--series 250] [--seed 0]

Of each of so many covers (those of FOLDER, or drawn ones) twelve copies are made: scaled,
compressed, robbed of colour, cropped. Each kind is looked for among all covers, as a prepare does
it. Printed for each kind: recall, the share of copies that came to their original; and false links,
pairs called copies whose originals are different. Precision is true links of all links. Covers of
FOLDER that are linked without any copies made are no false links: the folder itself has copies.

Then series: covers of one design that differ in their number ("... 1", "... 2"), in title, in title
and author. The second volume is also made worse, as shops do. Printed is the share of pairs merged,
which should be none.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import random
from pathlib import Path

import numpy as np
from PIL import Image

from covertune.data_pipeline.dedup.compare import open_for_comparison, same_picture
from covertune.data_pipeline.dedup.near import find_near_copies
from covertune.data_pipeline.dedup.signature import (
    CUTS,
    SIGNATURE_BYTES,
    Pictures,
    compute_signature,
    dct_coefficients,
)
from covertune.data_pipeline.images import normalise
from covertune.data_pipeline.sample import cover
from covertune.data_pipeline.sample.genres import GENRES
from covertune.data_pipeline.sample.layouts import LAYOUTS
from covertune.data_pipeline.sample.words import author, title

MAX_PX = 256
KINDS = ("x0.3", "x0.5", "x2", "quality 30", "grey", "crop 5 % all round")
KINDS += ("crop left", "crop top", "crop right", "crop bottom")
KINDS += ("crop unevenly, quality 60", "x0.5, quality 30")


def encode(image, quality=92):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def opened(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def scaled(image, factor):
    size = [max(8, round(side * factor)) for side in image.size]
    return image.resize(size, Image.Resampling.LANCZOS)


def cropped(image, left, top, right, bottom):
    width, height = image.size
    box = left * width, top * height, (1 - right) * width, (1 - bottom) * height
    return image.crop([round(edge) for edge in box])


def copy_of(image, kind):
    match kind:
        case "x0.3" | "x0.5" | "x2":
            return encode(scaled(image, float(kind[1:])))
        case "quality 30":
            return encode(image, 30)
        case "grey":
            return encode(image.convert("L").convert("RGB"))
        case "crop unevenly, quality 60":
            return encode(cropped(image, 0.03, 0.02, 0.01, 0.03), 60)
        case "x0.5, quality 30":
            return encode(scaled(image, 0.5), 30)
        case "crop 5 % all round":
            return encode(cropped(image, 0.05, 0.05, 0.05, 0.05))
    sides = ("left", "top", "right", "bottom")
    return encode(cropped(image, *(0.05 * (kind == f"crop {side}") for side in sides)))


def find(stored):
    """Find what a prepare would find among encoded covers in the store's form."""
    joined = b"".join(compute_signature(opened(data)) for data in stored)
    signatures_ND = np.frombuffer(joined, np.uint8).reshape(-1, SIGNATURE_BYTES)

    def compare(pairs):
        triples = zip(pairs.inner_P, pairs.outer_P, pairs.cut_P, strict=True)
        look = open_for_comparison
        return np.array(
            [same_picture(look(stored[a]), look(stored[b]), CUTS[c]) for a, b, c in triples]
        )

    areas = [np.prod(opened(data).size) for data in stored]
    rank = np.empty(len(stored), dtype=np.int64)
    rank[np.lexsort(([-len(data) for data in stored], -np.array(areas)))] = np.arange(len(stored))
    return find_near_copies(
        Pictures(dct_coefficients(signatures_ND), np.arange(len(stored))), rank, compare
    )


def copies(originals, number, rng):
    """Print a row for each kind."""
    pool = [normalise(data, MAX_PX).data for data in originals]
    known = {frozenset(link) for link in find(pool).links_L2.tolist()}
    chosen = rng.choice(len(pool), min(number, len(pool)), replace=False).tolist()
    origin = [*range(len(pool)), *chosen]
    all_links = all_false = all_found = 0
    print(f"{'copies':<27}{'recall':>8}{'links':>8}{'false':>7}")
    for kind in KINDS:
        made = [normalise(copy_of(opened(originals[at]), kind), MAX_PX).data for at in chosen]
        result = find(pool + made)
        centres = result.centre_N.tolist()
        found = sum(centres[at] == centres[len(pool) + n] for n, at in enumerate(chosen))
        between = [frozenset(origin[at] for at in link) for link in result.links_L2.tolist()]
        false = sum(len(link) == 2 and link not in known for link in between)
        print(f"{kind:<27}{found / len(chosen):>8.4f}{len(between):>8}{false:>7}", flush=True)
        all_links, all_false = all_links + len(between), all_false + false
        all_found += found
    recall, precision = all_found / len(chosen) / len(KINDS), 1 - all_false / all_links
    print(f"{'all':<27}{recall:>8.4f}{all_links:>8}{all_false:>7}   precision {precision:.4f}\n")


def draw_series(seed):
    """Draw four covers of one design: volume 1, volume 2, another title, also another author."""
    rng = random.Random(f"series {seed}")
    genre = rng.choice(GENRES)
    brief = cover._brief(genre, rng)
    layout = LAYOUTS[rng.choice(sorted(LAYOUTS))]
    briefs = [dataclasses.replace(brief, title=f"{brief.title} {volume}") for volume in (1, 2)]
    briefs.append(dataclasses.replace(brief, title=title(genre.words, rng)))
    briefs.append(dataclasses.replace(briefs[-1], author=author(genre.words, rng)))
    for volume, of_volume in enumerate(briefs):
        image = layout((3 * cover.WIDTH_PX, 3 * cover.HEIGHT_PX), of_volume, random.Random(seed))
        yield cover.grain(image.reduce(3), 3, volume)


def series(number, seed):
    """Print a row for each way the second volume is made worse."""
    drawn = [list(draw_series(f"{seed} {n}")) for n in range(number)]
    print(f"{'series, second volume':<27}{'number':>8}{'title':>8}{'title and author':>18}")
    for kind in ("as drawn", "x0.3", "quality 30", "crop 5 % all round"):
        row = []
        for volume in (1, 2, 3):
            merged = 0
            for images in drawn:
                other = images[volume]
                second = encode(other) if kind == "as drawn" else copy_of(other, kind)
                pair = [normalise(data, MAX_PX).data for data in (encode(images[0]), second)]
                merged += len(find(pair).links_L2) > 0
            row.append(merged / number)
        print(f"{kind:<27}{row[0]:>8.3f}{row[1]:>8.3f}{row[2]:>18.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--covers5", type=Path, help="folder of real covers")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--series", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.covers5:
        distinct = {}
        for file in sorted(given.covers5.rglob("*.jpg")):
            distinct.setdefault(normalise(file.read_bytes(), MAX_PX).cover_id, file.read_bytes())
        originals = list(distinct.values())
    else:
        rng = random.Random(f"near copies {given.seed}")
        drawn = range(given.pictures)
        originals = [cover.draw_cover(rng.choice(GENRES), rng) for _ in drawn]
    print(f"{len(originals)} covers")
    copies(originals, given.pictures, np.random.default_rng(given.seed))
    series(given.series, given.seed)


if __name__ == "__main__":
    main()

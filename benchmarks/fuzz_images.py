"""Damaged pictures by the thousand: each must be refused with a reason, or decode to a picture.

    python benchmarks/fuzz_images.py [--minutes 1] [--cases N] [--seed 0]

Pictures of every format that is decoded are cut off, flipped bit by bit, filled with zeros, spliced
and given wrong sizes; checksums of PNG chunks are mended afterwards, so that decoders see what is
behind them. Each case goes through `normalise`, which must

    raise ImageRejected in one line, or give a JPEG that `load_square` decodes;
    give the picture of the whole file, if what it was given is a beginning of one;
    take less than --limit-s seconds of CPU time.

A process of its own does the work, and says which case it begins: what ends it (a crash in a
decoder, a case that hangs) is told with the case, and `--only N` repeats that one. Exit status 1 if
anything of that came up. The same seed, the same cases.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np
import psutil
from PIL import Image

from covertune.data_pipeline import ImageRejected, load_square
from covertune.data_pipeline.images import normalise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--cases", type=int, help="so many cases, however long they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, default=20.0, help="for a single case")
    parser.add_argument("--only", type=int, help="one case, in this process")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only is not None:
        print(try_case(given.seed, given.only))
        return 0
    if given.child is not None:
        return work(given.seed, given.child)
    return watch(given)


def watch(given: argparse.Namespace) -> int:
    """Run the child, and a new one behind each case that ended one."""
    started, case, fates, bad, peak_mb = time.monotonic(), 0, Counter(), [], 0
    slowest = (0.0, "")
    until = started + (float("inf") if given.cases else given.minutes * 60)
    last = given.cases or sys.maxsize
    while case < last and time.monotonic() < until:
        command = [sys.executable, __file__, "--seed", str(given.seed), "--child", str(case)]
        with tempfile.TemporaryFile() as told:
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told)
            for line in lines_of(child, given.limit_s, until):
                fate, said, cpu_s, mb = line.split("\t")
                fates[fate] += 1
                slowest = max(slowest, (float(cpu_s), f"case {case}, {said}"))
                peak_mb = max(peak_mb, int(mb))
                if fate == "WRONG":
                    bad.append(f"case {case}: {said}")
                case += 1
                if case >= last:
                    break
            if case < last and time.monotonic() < until:
                fate = "HANG" if child.poll() is None else "CRASH"
                told.seek(0)
                says = told.read().decode(errors="replace")[-300:]
                bad.append(f"case {case}: {fate}, exit status {child.poll()} {says}")
                fates[fate] += 1
                case += 1
            child.kill()
            child.wait()
            child.stdout.close()
    print(
        f"{case} cases in {time.monotonic() - started:.0f} s, seed {given.seed}; peak {peak_mb} MB"
    )
    print(f"slowest: {slowest[0]:.2f} s of CPU time, {slowest[1]}")
    for fate, count in fates.most_common():
        print(f"{count:>9}  {fate}")
    for line in bad:
        print(line)
    print("nothing but pictures and refusals" if not bad else f"{len(bad)} cases went wrong")
    return 1 if bad else 0


def lines_of(child: subprocess.Popen, limit_s: float, until: float) -> Iterator[str]:
    """Yield what the child says, until it ends, a case hangs, or the time is over.

    A case hangs that takes `limit_s` of CPU time (other work on the machine does not count), or
    ten times as long without any.
    """
    process, pending = psutil.Process(child.pid), b""
    while time.monotonic() < until:
        begun, used = time.monotonic(), cpu_seconds(process)
        while not select.select([child.stdout], [], [], 0.5)[0]:
            idle = time.monotonic() - begun > 10 * limit_s
            if idle or cpu_seconds(process) - used > limit_s or time.monotonic() > until:
                return
        data = os.read(child.stdout.fileno(), 65536)
        if not data:
            child.wait()
            return
        *lines, pending = (pending + data).split(b"\n")
        yield from (line.decode() for line in lines)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def work(seed: int, case: int) -> int:
    """Try case after case, a line each, until killed."""
    while True:
        begun = time.process_time()
        told = try_case(seed, case)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{told}\t{time.process_time() - begun:.3f}\t{peak_mb}", flush=True)
        case += 1


def try_case(seed: int, case: int) -> str:
    """Return `FATE`, a tab, what there is to say."""
    draws = random.Random(f"{seed}/{case}")
    name = draws.choice(sorted(originals()))
    whole = originals()[name]
    damage = draws.choice(DAMAGES)
    data = damage(whole, draws)
    if name.startswith("png") and draws.random() < 0.7:
        data = with_mended_checksums(data)
    what = f"{name}, {damage.__name__}"
    try:
        image = normalise(data, 64)
        square = load_square(image.data, 32)
        assert square.shape == (32, 32, 3)
        if whole.startswith(data) and image.cover_id != normalise(whole, 64).cover_id:
            return f"WRONG\t{what}: {len(data)} of {len(whole)} bytes gave another picture"
        return f"decoded\t{what}"
    except ImageRejected as rejected:
        if "\n" in str(rejected) or not rejected.reason:
            return f"WRONG\t{what}: {rejected!r}"
        return f"refused: {rejected.reason}\t{what}"
    except Exception:
        return f"WRONG\t{what}: " + " | ".join(
            traceback.format_exc().replace("\t", " ").split("\n")[-4:]
        )


@cache
def originals() -> dict[str, bytes]:
    """Make small pictures in every way of being encoded that the decoders know."""
    noise = np.random.default_rng(7).integers(0, 256, (12, 8, 3), dtype=np.uint8)
    rgb = Image.fromarray(noise).resize((96, 144), Image.Resampling.BICUBIC)
    alpha = rgb.convert("RGBA")
    alpha.putalpha(rgb.convert("L"))
    grey16 = Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"save_all": True, "append_images": [rgb.rotate(180)]}
    made = [
        ("jpeg", rgb, "JPEG", {}),
        ("jpeg-420-exif", rgb, "JPEG", {"exif": exif, "subsampling": 2, "comment": b"x" * 99}),
        ("jpeg-progressive", rgb, "JPEG", {"progressive": True}),
        ("jpeg-restarts", rgb, "JPEG", {"restart_marker_blocks": 5}),
        ("jpeg-grey", rgb.convert("L"), "JPEG", {}),
        ("jpeg-cmyk", rgb.convert("CMYK"), "JPEG", {}),
        ("png", rgb, "PNG", {"exif": exif}),
        ("png-alpha", alpha, "PNG", {}),
        ("png-palette", rgb.quantize(32), "PNG", {"transparency": 3}),
        ("png-1-bit", rgb.convert("1"), "PNG", {}),
        ("png-16-bit", grey16, "PNG", {}),
        ("png-animated", rgb, "PNG", more),
        ("webp", rgb, "WEBP", {"exif": exif}),
        ("webp-lossless", rgb, "WEBP", {"lossless": True}),
        ("webp-alpha", alpha, "WEBP", {}),
        ("webp-animated", rgb, "WEBP", more),
        ("gif", rgb.quantize(64), "GIF", {}),
        ("gif-animated", rgb, "GIF", more),
        ("tiff", rgb, "TIFF", {"exif": exif}),
        ("tiff-lzw", rgb, "TIFF", {"compression": "tiff_lzw"}),
        ("tiff-deflate", rgb, "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("tiff-jpeg", rgb, "TIFF", {"compression": "jpeg"}),
        ("tiff-packbits", rgb, "TIFF", {"compression": "packbits"}),
        ("tiff-fax", rgb.convert("1"), "TIFF", {"compression": "group4"}),
        ("tiff-pages", rgb, "TIFF", more),
        ("bmp", rgb, "BMP", {}),
        ("bmp-palette", rgb.quantize(200), "BMP", {}),
        ("avif", rgb, "AVIF", {"exif": exif, "speed": 10}),
        ("avif-alpha", alpha, "AVIF", {"speed": 10}),
    ]
    found = {}
    for name, image, file_format, options in made:
        buffer = io.BytesIO()
        image.save(buffer, file_format, **options)
        found[name] = buffer.getvalue()
    return found


def cut(data: bytes, draws: random.Random) -> bytes:
    return data[: draws.randrange(len(data))]


def cut_and_end(data: bytes, draws: random.Random) -> bytes:
    """Cut, and end with the last bytes of the whole: an end marker in place."""
    return cut(data, draws) + data[-draws.choice([2, 8, 12]) :]


def cut_and_fill(data: bytes, draws: random.Random) -> bytes:
    start = cut(data, draws)
    return start + bytes([draws.choice([0, 0xFF])]) * (len(data) - len(start))


def flip_bits(data: bytes, draws: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draws.choice([1, 1, 2, 5, 30])):
        changed[draws.randrange(len(changed))] ^= 1 << draws.randrange(8)
    return bytes(changed)


def flip_bits_of_head(data: bytes, draws: random.Random) -> bytes:
    """Flip bits where sizes, tables and offsets are."""
    return flip_bits(data[:120], draws) + data[120:]


def set_numbers(data: bytes, draws: random.Random) -> bytes:
    """Make two or four bytes a number that programs trip over."""
    changed = bytearray(data)
    for _ in range(draws.choice([1, 2, 4])):
        number = draws.choice([0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])
        width = 2 if number < 0x10000 and draws.random() < 0.5 else 4
        at = draws.randrange(max(1, min(len(changed), draws.choice([64, 700, 10**6])) - width))
        changed[at : at + width] = number.to_bytes(width, draws.choice(["big", "little"]))
    return bytes(changed)


def take_out(data: bytes, draws: random.Random) -> bytes:
    at = draws.randrange(len(data))
    return data[:at] + data[at + draws.choice([1, 2, 16, 300]) :]


def repeat(data: bytes, draws: random.Random) -> bytes:
    start, length = draws.randrange(len(data)), draws.choice([1, 4, 40, 1000])
    return (
        data[: start + length] + data[start : start + length] * draws.choice([1, 3]) + data[start:]
    )


def splice(data: bytes, draws: random.Random) -> bytes:
    other = originals()[draws.choice(sorted(originals()))]
    return data[: draws.randrange(len(data))] + other[draws.randrange(len(other)) :]


def add_behind(data: bytes, draws: random.Random) -> bytes:
    return data + draws.randbytes(draws.choice([1, 100, 5000]))


DAMAGES = [
    cut,
    cut_and_end,
    cut_and_fill,
    flip_bits,
    flip_bits_of_head,
    set_numbers,
    take_out,
    repeat,
    splice,
    add_behind,
]


def with_mended_checksums(data: bytes) -> bytes:
    """Return a PNG whose chunks have the checksums their content asks for."""
    at, pieces = 8, [data[:8]]
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        if at + 12 + length > len(data):
            break
        pieces += [data[at : at + 4], body, zlib.crc32(body).to_bytes(4, "big")]
        at += 12 + length
    return b"".join(pieces) + data[at:]


if __name__ == "__main__":
    sys.exit(main())

"""Make docs/pictures again: `python docs/pictures/make.py`. Needs a chromium.

The pages show generated covers alone.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
_CHROMIUM = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--hide-scrollbars",
)
_SIZE_PX = (1100, 2080)  # down to the second row of the first contact sheets
_SCALE = 0.8


def main() -> None:
    """Draw sample covers, prepare them, look at the page."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        sys.exit("no chromium on the path; install Debian's package chromium")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for words in (
            ("sample", "my-covers", "--covers-per-genre", "60"),
            ("prepare", "my-covers", "my-store"),
            ("inspect", "my-store", "--html", "my-store.html"),
        ):
            subprocess.run(
                [sys.executable, "-m", "covertune", "data", *words], cwd=folder, check=True
            )
        shot = folder / "page.png"
        subprocess.run(
            [
                *(chromium, *_CHROMIUM, f"--user-data-dir={folder / 'profile'}"),
                *(f"--window-size={_SIZE_PX[0]},{_SIZE_PX[1]}", f"--screenshot={shot}"),
                (folder / "my-store.html").as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        with Image.open(io.BytesIO(shot.read_bytes())) as page:
            size_px = tuple(round(side * _SCALE) for side in page.size)
            small = page.convert("RGB").resize(size_px, Image.Resampling.LANCZOS)
    small.save(HERE / "inspect.webp", quality=80, method=6)


if __name__ == "__main__":
    main()

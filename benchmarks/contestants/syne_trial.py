"""One trial of Syne Tune, which starts this file with the trial's configuration."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from syne_tune import Reporter

from contestants.piece import Piece
from contestants.space import recipe_of
from contestants.training import train


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--st_config_json_filename", type=Path)
    parser.add_argument("--st_checkpoint_dir", type=Path, help="Not used.")
    file = parser.parse_args().st_config_json_filename
    number = int(file.parent.name)
    piece = Piece.of_this_process()
    report = Reporter()
    for epoch, top1 in train(piece, recipe_of(piece, json.loads(file.read_text()), number), number):
        report(epoch=epoch, top1=top1)


if __name__ == "__main__":
    main()

"""How the peers train: `models.FineTuner`, fed by a DataLoader over the image files.

What one writes by hand: each cover is opened, converted and resized anew in each epoch, in the
process that trains. Both cores are taken by trials, so worker processes would only take turns with
them (`data_wait.py` measures what one worker brings).
"""

from __future__ import annotations

import csv
from itertools import starmap
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from covertune.batch import Batch
from covertune.models import FineTuner, inference_batch_size


class CoverFiles(Dataset):
    """The covers of a split, as `covers.csv` lists them."""

    def __init__(self, folder, split, image_px):
        folder = Path(folder)
        with (folder / "covers.csv").open(newline="") as table:
            rows = [row for row in csv.DictReader(table) if row["split"] == split]
        self.files = [folder / row["file"] for row in rows]
        self.labels = [int(row["label"]) for row in rows]
        self.size = (image_px, image_px)

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        with Image.open(self.files[index]) as image:
            square = image.convert("RGB").resize(self.size, Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(square)), self.labels[index]


def train(piece, recipe, trial):
    """Train by a recipe, keeping the weights of the best epoch.

    Yields:
        Epoch and validation top-1, after each epoch.
    """
    torch.set_num_threads(1)
    device = torch.device("cpu")
    train_covers = DataLoader(
        CoverFiles(piece.covers, "train", piece.image_px),
        recipe.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(recipe.seed),
    )
    val_covers = DataLoader(
        CoverFiles(piece.covers, "val", piece.image_px),
        inference_batch_size(piece.image_px, device),
    )
    tuner = FineTuner(recipe, piece.genres, device, steps_per_epoch=len(train_covers))
    best = -1.0
    for epoch in range(1, recipe.epochs + 1):
        tuner.train_epoch(starmap(Batch, train_covers))
        top1 = tuner.evaluate(starmap(Batch, val_covers)).metrics.top1
        if top1 > best:
            best = top1
            piece.keep_weights(trial, tuner, epoch, top1)
        piece.note(trial, epoch, top1)
        yield epoch, top1

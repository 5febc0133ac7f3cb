"""One piece of the comparison: a contestant and a seed, and what it measured.

The harness writes a piece's file, names it in an environment variable and starts the contestant.
Each process the contestant starts inherits the variable: so each finds its piece, and the harness
finds each of them again when the time is up.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from covertune.models.training.checkpoint import write_state

PIECE = "COVERTUNE_PEERS_PIECE"
EXPORTED = "exported"
"""What a search exports where it is not its best trial: where there is one, it is the winner."""


@dataclass(frozen=True)
class Piece:
    """What a contestant is given.

    Attributes:
        contestant: Who.
        seed: Of sampling and training.
        store: The cover store.
        covers: Its covers as files, and `covers.csv` with their split and label.
        genres: K.
        image_px: Side of the squares all train on.
        epochs: R, of a trial that is never stopped.
        eta: One in eta goes on at a rung.
        grace_epochs: r, the first rung.
        budget_s: From the start of the contestant's process.
        cores: As many trials run side by side, on a core each.
        folder: Where the contestant leaves everything.
        started: When its process was started, in seconds since 1970.
    """

    contestant: str
    seed: int
    store: str
    covers: str
    genres: int
    image_px: int
    epochs: int
    eta: int
    grace_epochs: int
    budget_s: float
    cores: int
    folder: str
    started: float = 0.0

    @classmethod
    def of_this_process(cls) -> Piece:
        """Return the piece this process, or the one that started it, was started for."""
        return cls(**json.loads(Path(os.environ[PIECE]).read_text()))

    @property
    def file(self) -> Path:
        """Where the harness writes it."""
        return Path(self.folder) / "piece.json"

    @property
    def event_log(self) -> Path:
        """A line for each measured epoch: seconds, trial, epoch, validation top-1."""
        return Path(self.folder) / "events.jsonl"

    def write(self):
        self.file.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def note(self, trial, epoch, top1):
        """Write down a measured epoch; processes side by side append whole lines."""
        seconds = round(time.time() - self.started, 2)
        event = {"seconds": seconds, "trial": str(trial), "epoch": epoch, "top1": top1}
        with self.event_log.open("a") as log:
            log.write(json.dumps(event) + "\n")

    def events(self):
        """Return what was measured in time."""
        if not self.event_log.exists():
            return []
        events = [json.loads(line) for line in self.event_log.read_text().splitlines()]
        return [event for event in events if event["seconds"] <= self.budget_s]

    def keep_weights(self, trial, tuner, epoch, top1):
        """Keep a peer's model, in the form covertune's checkpoints have but for the optimiser."""
        folder = Path(self.folder) / "weights"
        folder.mkdir(exist_ok=True)
        state = tuner.state_dict() | {"optimizer": None, "result": {"epoch": epoch, "top1": top1}}
        write_state(state, folder / f"trial-{trial}.pt")

    def weights(self):
        """Return the models kept: those of a peer, or covertune's own checkpoints."""
        return sorted(Path(self.folder).rglob("trial-*.pt"))

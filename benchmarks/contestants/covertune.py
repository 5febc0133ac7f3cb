"""covertune, as `covertune search STORE --image-px … --time-budget … --seed …` runs it.

Its budget is a minute short of the piece's: it ends by choosing among and averaging the best
models, measuring and exporting, and that counts too. If that takes longer, it has its best trial.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from contestants.piece import EXPORTED, Piece
from covertune.models.training.checkpoint import read_state, write_state
from covertune.search import SearchConfig, SearchObserver, run_search

_ENDING_S = 60.0


class EventLog(SearchObserver):
    """Writes down each epoch once the study holds it."""

    def __init__(self, piece):
        self.piece = piece

    def epoch(self, trial, progress, confusion_KK):
        self.piece.note(trial.number, int(progress.epoch), progress.top1)


def keep_model(piece, result):
    """Keep the exported model, where it is not the best trial, beside the trials' checkpoints."""
    outcome = result.outcome
    if outcome.best == outcome.best_trial:
        return
    state = read_state(result.run.checkpoint(outcome.best_trial.trial))
    measured = {"epoch": state["epoch"], "top1": outcome.best.val_top1}
    model = load_file(outcome.model / "model.safetensors")
    exported = state | {"model": model, "ema": None, "optimizer": None, "result": measured}
    write_state(exported, result.run.checkpoints / f"trial-{EXPORTED}.pt")
    piece.note(EXPORTED, state["epoch"], outcome.best.val_top1)


def main():
    piece = Piece.of_this_process()
    config = SearchConfig(
        store=Path(piece.store),
        runs_dir=Path(piece.folder) / "runs",
        name="search",
        image_px=(piece.image_px,),
        epochs=piece.epochs,
        eta=piece.eta,
        grace_epochs=piece.grace_epochs,
        time_budget_s=piece.budget_s - _ENDING_S,
        seed=piece.seed,
    )
    keep_model(piece, run_search(config, EventLog(piece)))


if __name__ == "__main__":
    main()

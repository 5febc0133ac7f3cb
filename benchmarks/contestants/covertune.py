"""covertune, as `covertune search STORE --image-px … --time-budget … --seed …` runs it."""

from __future__ import annotations

from pathlib import Path

from contestants.piece import Piece
from search import SearchConfig, SearchObserver, run_search
from search.constants import EPOCH, METRIC


class EventLog(SearchObserver):
    """Writes down each epoch once the study holds it."""

    def __init__(self, piece):
        self.piece = piece

    def epoch(self, trial, result):
        self.piece.note(trial.number, result[EPOCH], result[METRIC])


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
        time_budget_s=piece.budget_s,
        seed=piece.seed,
    )
    run_search(config, EventLog(piece))


if __name__ == "__main__":
    main()

"""Plain Optuna: a process a core on one SQLite study, `SuccessiveHalvingPruner`.

Processes and not `n_jobs`: threads of one process would take turns in Python, and each trial would
have to share torch's threads. The processes start once and stay, so a trial costs no start-up. Each
has a seed of its own; with the same, all would draw the same first trials.
"""

from __future__ import annotations

import multiprocessing

import optuna
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage

from contestants.piece import Piece
from contestants.space import search_space
from contestants.training import train
from covertune.models import TrainingFailure

_STUDY = "covers"
_BUSY_TIMEOUT_S = 60


def storage(piece):
    return RDBStorage(
        f"sqlite:///{piece.folder}/study.db",
        engine_kwargs={"connect_args": {"timeout": _BUSY_TIMEOUT_S}},
    )


def work(piece, worker):
    space = search_space(piece)

    def objective(trial):
        top1 = 0.0
        for epoch, top1 in train(piece, space.suggest(trial), trial.number):
            trial.report(top1, epoch)
            if epoch < piece.epochs and trial.should_prune():
                raise optuna.TrialPruned
        return top1

    study = optuna.load_study(
        study_name=_STUDY,
        storage=storage(piece),
        sampler=TPESampler(seed=piece.seed * 1000 + worker),
        pruner=SuccessiveHalvingPruner(min_resource=piece.grace_epochs, reduction_factor=piece.eta),
    )
    study.optimize(objective, timeout=piece.budget_s, catch=(TrainingFailure,))


def main():
    piece = Piece.of_this_process()
    optuna.create_study(storage=storage(piece), study_name=_STUDY, direction="maximize")
    spawning = multiprocessing.get_context("spawn")
    workers = [spawning.Process(target=work, args=(piece, n)) for n in range(piece.cores)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()

"""How trials end in the study. Ray's part is played by calling the searcher as Ray does."""

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from covertune.search.cluster.budget_stopper import BudgetStopper
from covertune.search.cluster.searcher import StudySearcher
from covertune.search.config import SearchConfig
from covertune.search.events import SearchObserver
from covertune.search.plan import HalvingPlan
from covertune.search.record.constants import BROKEN_OFF, EPOCH, FAILURE, METRIC
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import best_trial
from covertune.search.record.trial_rows import trial_rows
from covertune.search.schedule.budget import Budget
from covertune.search.schedule.halving import SuccessiveHalving
from covertune.search.setup.resuming import reclaim_interrupted_trials, remember_rungs
from covertune.search.space.portfolio import Portfolio
from covertune.search.space.search_space import BackboneOptions, SearchSpace

CNN = BackboneOptions("small_cnn", stages=4, pretrained=False, image_px=(32,))


class Bench:
    """A searcher over a real SQLite study."""

    def __init__(self, tmp_path, trial_limit=None, resumed=()):
        config = SearchConfig(backbones=("small_cnn",), epochs=3, image_px=(32,))
        space = SearchSpace(config.trial_plan, (CNN,), frozenset())
        self.study = optuna.create_study(
            storage=f"sqlite:///{tmp_path}/study.db",
            study_name="s",
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self.clock = 0.0
        self.budget = Budget(100.0, clock=lambda: self.clock)
        self.rule = SuccessiveHalving(HalvingPlan(grace_epochs=1, epochs=3, eta=3))
        self.searcher = StudySearcher(
            self.study,
            space,
            portfolio=Portfolio(space),
            trial_limit=trial_limit,
            rule=self.rule,
            budget=self.budget,
            resumed=list(resumed),
            observer=SearchObserver(),
        )

    def trial(self, number):
        return self.study.get_trials()[number]


def result(epoch, value=0.5, finished=False, **more):
    return {
        EPOCH: epoch,
        METRIC: value,
        "top3": 0.9,
        "macro_f1": value,
        "train_loss": 1.0,
        "val_loss": 1.0,
        "covers_per_s": 10.0,
        "data_wait_share": 0.01,
        "lr_head": 1e-3,
        "lr_backbone": 1e-3,
        "seconds": 2.0,
        "node": "here",
        "node_id": "1234",
        "confusion": [[1]],
        "device": "cpu",
        "finished": finished,
        **more,
    }


def failure(reason):
    return {
        FAILURE: reason,
        "recipe_at_fault": True,
        "traceback": "Traceback …",
        "finished": True,
        "done": True,
    }


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_the_first_trial_is_the_yardstick_and_is_spared(bench):
    config = bench.searcher.suggest("a")
    assert config["number"] == 0
    assert config["exempt_from_halving"]
    assert not bench.searcher.suggest("b")["exempt_from_halving"]
    assert config["recipe"]["optimizer"] == "adam"
    assert bench.trial(0).user_attrs["role"] == "untuned"


def test_trained_to_the_last_epoch_is_complete_with_every_epoch(bench):
    bench.searcher.suggest("a")
    bench.searcher.on_trial_result("a", result(1, 0.4))
    bench.searcher.on_trial_complete("a", result(2, 0.6, finished=True))
    trial = bench.trial(0)
    assert trial.state is TrialState.COMPLETE
    assert trial.value == 0.6
    assert trial.intermediate_values == {1: 0.4, 2: 0.6}
    assert [row["epoch"] for row in trial.user_attrs["history"]] == [1, 2]


def test_stopped_early_is_pruned_with_its_last_epoch(bench):
    bench.searcher.suggest("a")
    bench.searcher.halved(0)
    bench.searcher.on_trial_complete("a", result(1, 0.3))
    trial = bench.trial(0)
    assert trial.state is TrialState.PRUNED
    assert trial.value == 0.3
    assert trial.intermediate_values == {1: 0.3}
    assert trial.user_attrs["reason"] == "successive halving"


def test_no_trial_is_begun_that_would_not_see_the_end_of_an_epoch(bench, tmp_path):
    bench.clock = 98.0
    assert bench.searcher.suggest("a")["number"] == 0, "nothing is known yet"
    assert bench.searcher.suggest("b")["number"] == 1
    bench.searcher.on_trial_result("a", result(1, seconds=30.0))
    assert bench.searcher.suggest("c") is None
    bench.searcher.on_trial_result("b", result(1, seconds=1.5))
    bench.searcher.on_trial_result("a", result(2, seconds=0.1))
    assert bench.budget.shortest_epoch_s == 1.5
    assert bench.searcher.suggest("c")["number"] == 2
    assert Bench(tmp_path).budget.shortest_epoch_s == 1.5, "told by the study, too"


def test_stopped_by_the_budget_is_pruned_too(bench):
    bench.searcher.suggest("a")
    bench.clock = 101.0
    bench.searcher.on_trial_complete("a", {})
    assert bench.trial(0).state is TrialState.PRUNED
    assert bench.trial(0).user_attrs["reason"] == "time budget"
    assert bench.searcher.suggest("b") == Searcher.FINISHED


def test_what_is_stopped_without_a_word_is_settled(bench):
    bench.searcher.suggest("a")
    bench.searcher.on_trial_result("a", result(1, 0.4))
    bench.clock = 101.0
    bench.searcher.finalize_running(lambda number: result(2, 0.5))
    trial = bench.trial(0)
    assert trial.state is TrialState.PRUNED
    assert trial.intermediate_values == {1: 0.4, 2: 0.5}, "the epoch of the checkpoint counts"
    assert trial.value == 0.5
    assert not bench.searcher.has_work


def test_what_has_no_checkpoint_is_settled_too(bench):
    bench.searcher.suggest("a")
    bench.clock = 101.0
    bench.searcher.finalize_running(lambda number: None)
    assert bench.trial(0).state is TrialState.PRUNED


def test_a_study_that_cannot_be_written_is_told_once_more(bench, monkeypatch):
    bench.searcher.suggest("a")

    def locked(*_args, **_kwargs):
        raise optuna.exceptions.StorageInternalError("database is locked")

    for owner, name in ((optuna.Trial, "report"), (bench.study, "tell")):
        with monkeypatch.context() as broken:
            broken.setattr(owner, name, locked)
            with pytest.raises(optuna.exceptions.StorageInternalError):
                bench.searcher.on_trial_complete("a", result(1, 0.4, finished=True))
    bench.searcher.on_trial_complete("a", result(1, 0.4, finished=True))
    assert bench.trial(0).state is TrialState.COMPLETE
    assert bench.trial(0).intermediate_values == {1: 0.4}
    assert [row["epoch"] for row in bench.trial(0).user_attrs["history"]] == [1]


def test_a_failure_is_failed_with_its_reason(bench):
    bench.searcher.suggest("a")
    bench.searcher.on_trial_complete("a", failure("the training loss became nan"))
    trial = bench.trial(0)
    assert trial.state is TrialState.FAIL
    assert trial.value is None
    assert trial.user_attrs["reason"] == "the training loss became nan"
    assert trial.user_attrs["recipe_at_fault"]


def test_a_collapse_keeps_the_epoch_that_showed_it(bench):
    bench.searcher.suggest("a")
    bench.searcher.on_trial_complete("a", result(1, 0.2) | failure("collapse"))
    assert bench.trial(0).state is TrialState.FAIL
    assert bench.trial(0).intermediate_values == {1: 0.2}


def test_the_micro_batch_is_in_the_record(bench, told):
    batch = bench.searcher.suggest("a")["recipe"]["batch_size"]
    bench.searcher.on_trial_result("a", result(1, 0.4))
    assert "micro_batch" not in bench.trial(0).user_attrs
    for epoch, size in ((2, 8), (3, 8), (4, 4)):
        bench.searcher.on_trial_result("a", result(epoch, 0.4, micro_batch=size))
        assert bench.trial(0).user_attrs["micro_batch"] == size
    lines = list(dict.fromkeys(line for line in told.messages if "out of memory" in line))
    assert lines == [
        f"trial 0 ran out of memory: it goes on with its batch of {batch}, at most {size} at a time"
        for size in (8, 4)
    ]


def test_a_trial_that_lost_its_worker_is_handed_out_again(tmp_path):
    bench = Bench(tmp_path, trial_limit=1)
    for name in "abcd":
        assert bench.searcher.suggest(name)["number"] == 0
        assert bench.searcher.suggest("more") is None, "whoever runs may yet lose its worker"
        bench.searcher.on_trial_result(name, result("abcd".index(name) + 1))
        bench.searcher.on_trial_complete(name, error=True)
        bench.searcher.on_trial_complete(name, error=True)  # Ray may say it twice
        assert bench.trial(0).state is TrialState.RUNNING
    assert bench.searcher.suggest("e")["number"] == 0
    bench.searcher.on_trial_complete("e", result(5, finished=True))
    assert bench.trial(0).state is TrialState.COMPLETE
    assert [row["epoch"] for row in bench.trial(0).user_attrs["history"]] == [1, 2, 3, 4, 5]
    assert bench.searcher.suggest("f") == Searcher.FINISHED


def test_a_trial_that_loses_every_worker_fails(bench):
    for name in "abc":
        assert bench.searcher.suggest(name)["number"] == 0
        assert bench.trial(0).state is TrialState.RUNNING
        bench.searcher.on_trial_complete(name, error=True)
    assert bench.trial(0).state is TrialState.FAIL
    assert bench.trial(0).user_attrs["reason"] == "the worker was lost 3 times in one epoch"


def test_a_worker_lost_while_the_user_interrupts_costs_no_trial(bench, tmp_path):
    bench.searcher.suggest("a")
    bench.budget.interrupt()
    bench.searcher.on_trial_complete("a", error=True)
    assert bench.trial(0).state is TrialState.RUNNING
    assert bench.searcher.has_work


def test_who_was_never_taken_up_ends_with_the_time(bench, tmp_path):
    for name in "ab":
        bench.searcher.suggest(name)
        bench.searcher.on_trial_result(name, result(1, 0.4))
    later = Bench(
        tmp_path, resumed=reclaim_interrupted_trials(bench.study, RunFolder(tmp_path / "run"))
    )
    later.searcher.suggest("a")
    later.clock = 101.0
    later.searcher.finalize_running(lambda number: result(1, 0.4))
    assert [trial.state for trial in later.study.trials] == [TrialState.PRUNED] * 2
    assert not later.searcher.has_work


def test_who_was_halved_when_the_process_was_killed_is_halved(bench, tmp_path, monkeypatch):
    bench.searcher.suggest("a")
    bench.searcher.halved(0)

    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.study, "tell", killed)
    with pytest.raises(KeyboardInterrupt):
        bench.searcher.on_trial_complete("a", result(1, 0.4))
    assert reclaim_interrupted_trials(bench.study, RunFolder(tmp_path / "run")) == []
    trial = bench.trial(0)
    assert (trial.state, trial.value) == (TrialState.PRUNED, 0.4)
    assert trial.user_attrs["reason"] == "successive halving"


def test_an_epoch_told_while_the_user_interrupts_is_judged_when_it_is_told_again(bench, tmp_path):
    bench.searcher.suggest("a")
    bench.budget.interrupt()
    bench.searcher.finalize_running(lambda number: result(1, 0.4))
    later = Bench(tmp_path)
    remember_rungs(later.rule, later.study)
    assert later.rule.rungs == {1: {}}


def test_a_collapse_counts_on_its_rung_now_and_after_a_resume(bench, tmp_path):
    for name in "ab":
        bench.searcher.suggest(name)
    bench.searcher.on_trial_complete("a", result(1, 0.2) | failure("collapse"))
    bench.searcher.on_trial_complete("b", result(1, 0.1) | failure("collapse"))
    assert bench.rule.rungs == {1: {1: 0.1}}, "the yardstick leaves no mark"
    later = Bench(tmp_path)
    remember_rungs(later.rule, later.study)
    assert later.rule.rungs == bench.rule.rungs


def test_interrupted_stays_running_and_goes_on_in_another_process(bench, tmp_path):
    number = bench.searcher.suggest("a")["number"]
    bench.searcher.on_trial_result("a", result(1, 0.4))
    bench.budget.interrupt()
    bench.searcher.on_trial_complete("a", result(1, 0.4))
    assert bench.trial(number).state is TrialState.RUNNING

    later = Bench(tmp_path, resumed=[bench.trial(number)])
    config = later.searcher.suggest("z")
    assert config["number"] == number
    later.searcher.on_trial_result("z", result(1, 0.4))  # told again after a restore
    later.searcher.on_trial_complete("z", result(2, 0.5, finished=True))
    trial = later.trial(number)
    assert trial.state is TrialState.COMPLETE
    assert [row["epoch"] for row in trial.user_attrs["history"]] == [1, 2]
    assert len(later.study.trials) == 1


@pytest.mark.parametrize("killed_in", ["enqueue", "ask", "suggest", "role"])
def test_a_trial_killed_while_it_was_chosen_keeps_what_it_has(bench, tmp_path, killed_in):
    bench.searcher.suggest("yardstick")
    bench.searcher._portfolio.enqueue_next(bench.study)
    if killed_in != "enqueue":
        trial = bench.study.ask()
    if killed_in == "suggest":
        chosen = {"batch_size": trial.suggest_categorical("batch_size", [16, 32, 64])}
    elif killed_in == "role":
        chosen = bench.searcher._space.suggest(trial).model_dump(include={"batch_size", "lr_head"})
    else:
        chosen = {}

    run = RunFolder(tmp_path / "run")
    resumed = reclaim_interrupted_trials(bench.study, run)
    assert [one.number for one in resumed] == [0, 1]
    later = Bench(tmp_path, trial_limit=2, resumed=resumed)
    later.study.get_trials()  # as a run that is taken up has read them
    answers = [later.searcher.suggest(name) for name in "abc"]
    assert [answer["number"] for answer in answers[:2]] == [0, 1]
    assert answers[2] is None
    assert answers[1]["recipe"].items() >= chosen.items()
    assert [trial.user_attrs["role"] for trial in later.study.trials] == [
        "untuned",
        "recipe: from scratch",
    ]
    assert [trial.state for trial in later.study.trials] == [TrialState.RUNNING] * 2


def test_what_brings_the_machine_down_again_and_again_is_given_up(bench, tmp_path):
    resumed, later = [], bench
    for _ in range(5):
        assert later.searcher.suggest("a")["number"] == 0
        resumed = reclaim_interrupted_trials(bench.study, RunFolder(tmp_path / "run"))
        later = Bench(tmp_path, resumed=resumed)
    assert resumed == []
    assert bench.trial(0).state is TrialState.FAIL
    assert bench.trial(0).user_attrs["reason"] == "interrupted 5 times in epoch 1"


def test_a_trial_that_moves_on_is_taken_up_as_often_as_it_takes(bench, tmp_path):
    later = bench
    for epoch in range(1, 12):
        assert later.searcher.suggest("a")["number"] == 0
        later.searcher.on_trial_result("a", result(epoch))
        resumed = reclaim_interrupted_trials(bench.study, RunFolder(tmp_path / "run"))
        later = Bench(tmp_path, resumed=resumed)
    assert bench.trial(0).state is TrialState.RUNNING


def test_a_checkpoint_that_cannot_be_written_stops_the_search_and_costs_no_trial(bench):
    for name in "ab":
        bench.searcher.suggest(name)
    bench.searcher.on_trial_complete("a", {BROKEN_OFF: "no space", "done": True})
    assert bench.budget.broken_off == "no space"
    assert BudgetStopper(bench.budget).stop_all()
    assert bench.searcher.suggest("c") == Searcher.FINISHED
    bench.searcher.finalize_running(lambda number: result(1, 0.4) if number else None)
    assert [trial.state for trial in bench.study.trials] == [TrialState.RUNNING] * 2
    assert bench.trial(1).intermediate_values == {}, "told again by whoever takes it up"


def test_what_ended_while_the_user_interrupts_is_told(bench):
    bench.searcher.suggest("a")
    bench.budget.interrupt()
    bench.searcher.on_trial_complete("a", result(2, 0.5, finished=True))
    assert bench.trial(0).state is TrialState.COMPLETE


def test_the_number_of_trials_is_exact(tmp_path):
    bench = Bench(tmp_path, trial_limit=3)
    answers = [bench.searcher.suggest(name) for name in "abcde"]
    assert [a["number"] for a in answers[:3]] == [0, 1, 2]
    assert answers[3:] == [None] * 2
    for name in "abc":
        bench.searcher.on_trial_complete(name, result(2, 0.5, finished=True))
    assert bench.searcher.suggest("f") == Searcher.FINISHED
    assert len(bench.study.trials) == 3


def test_rows_tell_how_each_trial_ended(bench):
    for name in "abc":
        bench.searcher.suggest(name)
    bench.searcher.on_trial_complete("a", result(2, 0.6, finished=True))
    bench.searcher.on_trial_complete("b", failure("broken"))
    rows = trial_rows(bench.study.trials)
    assert [row.state for row in rows] == ["COMPLETE", "FAIL", "RUNNING"]
    assert rows[0].seconds == 2.0
    assert rows[0].params["optimizer"] == "adam"
    assert rows[1].reason == "broken"
    assert rows[1].epochs == 0


def test_the_best_may_have_been_stopped(bench):
    for name in "ab":
        bench.searcher.suggest(name)
    bench.searcher.halved(1)
    bench.searcher.on_trial_complete("a", result(2, 0.4, finished=True))
    bench.searcher.on_trial_complete("b", result(1, 0.7))
    assert best_trial(bench.study.get_trials()).number == 1

"""Whole searches with a real Ray, a real study and a small network trained for real."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import optuna
import pytest
import torch
from optuna.trial import TrialState

import covertune.search.record.opening
import covertune.search.record.owner
from covertune.models import Recipe
from covertune.models.training.checkpoint import read_state
from covertune.search import RunError, RunFolder, SearchConfig, SearchError, SearchObserver
from covertune.search import run as search_run
from covertune.search.cluster.trainable import CoverTrial
from covertune.search.errors import PreflightError
from covertune.search.record.compat import close_storage
from covertune.search.record.study import create_study, drive_study, open_study, read_trials
from covertune.search.record.trial_rows import trial_rows
from covertune.search.run import resume_search, run_search
from covertune.search.space.sampler import make_sampler
from covertune.search.space.search_space import SearchSpace

pytestmark = pytest.mark.slow  # several whole searches, in fixtures

GOOD = {"lr_head": 2e-3, "lr_backbone": 2e-3}
POOR = {"lr_head": 1e-9, "lr_backbone": 1e-9}
EXPLODING = {"lr_head": 1e18, "lr_backbone": 1e18, "optimizer": "sgd"}


def config(store, tmp_path, **overrides):
    settings = {
        "store": store,
        "runs_dir": tmp_path / "runs",
        "name": "run",
        "backbones": ("small_cnn",),
        "image_px": (32,),
        "trials": 4,
        "epochs": 3,
    }
    return SearchConfig(**(settings | overrides))


def states(study):
    return [trial.state for trial in study.get_trials()]


@pytest.fixture(scope="module")
def recipes():
    """While it is entered, says which recipe each trial gets; the last one for all that follow."""

    @contextmanager
    def script(*chosen, epochs=3):
        def suggest(space, trial):
            if trial.user_attrs.get("role") == "untuned":
                return space.untuned()
            settings = chosen[min(trial.number - 1, len(chosen) - 1)]
            return Recipe(
                backbone="small_cnn", image_px=32, epochs=epochs, batch_size=16, **settings
            )

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SearchSpace, "suggest", suggest)
            yield

    return script


class Watcher(SearchObserver):
    """Remembers which trials ended, and what checkpoints took."""

    def __init__(self):
        self.ends, self.checkpoint_bytes = [], []

    def checkpoints(self, now_bytes, peak_bytes):
        self.checkpoint_bytes.append((now_bytes, peak_bytes))

    def trial_ended(self, trial):
        self.ends.append(trial.number)


@pytest.fixture(scope="module")
def watched(store, tmp_path_factory):
    """A search of five trials and who watched it, for all tests that only read."""
    watcher = Watcher()
    return run_search(config(store, tmp_path_factory.mktemp("watched"), trials=5), watcher), watcher


@pytest.fixture
def finished(watched, tmp_path):
    """A copy of that run, for a test that goes on with it."""
    return RunFolder.open(shutil.copytree(watched[0].run.path, tmp_path / "runs" / "run"))


def test_a_result_is_shown_in_a_few_lines(watched):
    result, _ = watched
    lines = repr(result).splitlines()
    assert len(lines) == 6
    assert f"  run={str(result.run.path)!r}," in lines
    assert "  trials=5," in lines
    assert f"  model={str(result.run.model)!r}," in lines
    assert f"{result.outcome.best.test.top1:.3f} on test" in lines[3]
    assert all(len(line) < 200 for line in lines)


UNGUARDED = """
import multiprocessing
from pathlib import Path
from covertune import SearchConfig, run_search

with Path("begun").open("a") as file:
    file.write("x")
if multiprocessing.current_process().name == "MainProcess":
    child = multiprocessing.get_context("spawn").Process(target=print)
    child.start()
    child.join()
    print(child.exitcode)
else:
    run_search(SearchConfig())
"""


def test_a_search_in_a_main_module_without_its_guard_is_a_hint(tmp_path):
    (tmp_path / "main.py").write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
    hint = 'put what starts it below `if __name__ == "__main__":`'
    assert done.stderr.rstrip().endswith(hint)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["begun", "main.py"]
    assert (tmp_path / "begun").read_text() == "xx"


def test_a_process_searches_once_at_a_time(tmp_path):
    with search_run._one_at_a_time():
        with pytest.raises(SearchError, match="this process is searching already"):
            run_search(SearchConfig(runs_dir=tmp_path))
        with pytest.raises(SearchError, match="this process is searching already"):
            resume_search(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_search_ends_with_a_measured_and_exported_model(watched):
    result, watcher = watched
    study = open_study(result.run)
    assert len(study.trials) == 5
    assert all(state.is_finished() for state in states(study))
    assert sorted(watcher.ends) == list(range(5))
    untuned = study.trials[0]
    assert untuned.user_attrs["role"] == "untuned"
    assert untuned.state is TrialState.COMPLETE
    assert len(untuned.intermediate_values) == 2

    outcome = result.outcome
    assert outcome.best_trial.val_top1 == max(t.value for t in study.trials if t.value is not None)
    assert outcome.untuned.trial == 0
    low, high = outcome.best.test.top1_interval
    assert low <= outcome.best.test.top1 <= high
    assert (outcome.average_of is None) == (outcome.best.trial is not None)
    assert json.loads((result.run.path / "outcome.json").read_text())["trials"] == 5
    assert {file.name for file in outcome.model.iterdir()} >= {
        "model.safetensors",
        "config.json",
        "model.onnx",
        "README.md",
    }
    manifest = result.run.manifest()
    assert manifest.config["trials"] == 5
    assert manifest.versions["ray"]
    assert manifest.store_fingerprint
    assert manifest.genres == ["Alarm", "Balm", "Calm"]


def test_the_leaders_and_the_untuned_one_keep_their_checkpoints(watched):
    result, watcher = watched
    by_value = sorted(result.trials, key=lambda trial: (-(trial.value or 0), trial.number))
    there = result.run.checkpoint_bytes()
    assert set(there) == {0} | {trial.number for trial in by_value[:3]}
    assert list(result.run.checkpoints.glob(".*")) == []
    outcome = json.loads((result.run.path / "outcome.json").read_text())
    now, peak = outcome["checkpoint_bytes"], outcome["checkpoint_peak_bytes"]
    assert now == sum(there.values())
    assert now <= peak <= max(there.values()) * 7  # three, the untuned one, two running, one ended
    assert watcher.checkpoint_bytes[-1] == (now, peak)


def test_every_trial_tells_its_history_and_where_it_ran(watched):
    result, _ = watched
    for row, trial in zip(trial_rows(result.trials), result.trials, strict=True):
        assert row.epochs == len(trial.user_attrs["history"]) > 0
        assert row.device == "cpu"
        assert row.node
        assert row.seconds > 0
        for epoch in trial.user_attrs["history"]:
            assert 0 <= epoch["data_wait_share"] < 1
            assert epoch["covers_per_s"] > 0


def test_tensorboard_has_a_folder_for_each_trial_and_ray_writes_none(watched):
    result, _ = watched
    files = list(result.run.path.rglob("events.out.tfevents.*"))
    assert {file.parent for file in files} == {
        result.run.tensorboard / f"trial-{trial.number:05d}" for trial in result.trials
    }


def test_pictures_are_attached_to_each_trial(watched):
    result, _ = watched
    storage = open_study(result.run)._storage
    for trial in result.trials:
        metas = optuna.artifacts.get_all_artifact_meta(trial, storage=storage)
        assert {m.filename for m in metas} == {"learning_curve.png", "confusion.png", "epochs.csv"}
        for meta in metas:
            content = (result.run.artifacts / meta.artifact_id).read_bytes()
            assert content.startswith(b"\x89PNG" if meta.mimetype == "image/png" else b"epoch,")


def test_halving_stops_the_poor_and_keeps_their_epochs(store, tmp_path, recipes):
    with recipes(GOOD, POOR, epochs=4):
        result = run_search(config(store, tmp_path, trials=5, concurrency=1, epochs=4))
    *_, passed_unjudged, judged = result.trials
    for trial, rung in ((passed_unjudged, 3), (judged, 1)):
        assert trial.state is TrialState.PRUNED
        assert trial.user_attrs["reason"] == "successive halving"
        assert list(trial.intermediate_values) == list(range(1, rung + 1))
        assert trial.value == trial.intermediate_values[rung]
    assert result.trials[1].state is TrialState.COMPLETE
    assert len(result.trials[1].intermediate_values) == 4


@pytest.fixture(scope="module")
def ill_fated(store, tmp_path_factory, recipes):
    """The trials of one worker: untuned, then three that must fail with a good one after each."""
    # Decay pulls the weights to zero in a few steps; what is left to decide is the bias.
    collapsing, unbuildable = GOOD | {"weight_decay": 450.0}, GOOD | {"frozen_stages": 99}
    with recipes(EXPLODING, GOOD, collapsing, GOOD, unbuildable, GOOD, epochs=1):
        settings = {"trials": 7, "concurrency": 1, "epochs": 1}
        return run_search(config(store, tmp_path_factory.mktemp("ill-fated"), **settings)).trials


def test_a_loss_that_is_no_number_ends_as_failed_at_once(ill_fated):
    failed, next_one = ill_fated[1:3]
    assert failed.state is TrialState.FAIL
    assert "loss" in failed.user_attrs["reason"]
    assert failed.intermediate_values == {}
    assert next_one.state is TrialState.COMPLETE  # in the same worker


def test_a_collapsed_classifier_ends_as_failed(ill_fated):
    failed, next_one = ill_fated[3:5]
    assert failed.state is TrialState.FAIL
    assert "genre" in failed.user_attrs["reason"]
    assert len(failed.intermediate_values) == 1
    assert next_one.state is TrialState.COMPLETE


def test_an_unforeseen_error_fails_the_trial_and_not_the_search(ill_fated):
    failed, next_one = ill_fated[5:7]
    assert failed.state is TrialState.FAIL
    assert "frozen_stages" in failed.user_attrs["reason"]
    assert next_one.state is TrialState.COMPLETE


@pytest.fixture(scope="module")
def tight(store, tmp_path_factory, recipes):
    """A search whose workers have memory for four covers at once; for none where drop_rate is 0.5.

    The class is local so that it goes to the workers as it is.
    """

    class TightTrial(CoverTrial):
        def _build(self):
            tuner = super()._build()
            room = 0 if tuner.recipe.drop_rate == 0.5 else 4

            def refuse(module, covers, output):
                if len(output) > room:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

            tuner.model.register_forward_hook(refuse)
            return tuner

    hopeless = GOOD | {"drop_rate": 0.5}
    chosen = (GOOD, hopeless, hopeless | {"batch_norm": "frozen"}, GOOD)
    settings = {"trials": 5, "concurrency": 1, "epochs": 2, "grace_epochs": 2}
    with recipes(*chosen, epochs=2), pytest.MonkeyPatch.context() as patch:
        patch.setattr("covertune.search.cluster.experiment.CoverTrial", TightTrial)
        return run_search(config(store, tmp_path_factory.mktemp("tight"), **settings))


def test_trials_that_run_out_of_memory_go_on_with_fewer_covers_at_a_time(tight):
    for number in (0, 1, 4):
        trial = tight.trials[number]
        assert trial.state is TrialState.COMPLETE
        assert trial.user_attrs["micro_batch"] == 4
        assert len(trial.user_attrs["history"]) == 2
        assert read_state(tight.run.checkpoint(number))["micro_batch"] == 4
    assert tight.trials[1].value > 0.5  # of three genres: it learns
    log = tight.run.log_file.read_text()
    assert log.count("trial 1 ran out of memory: it goes on with its batch of 16, at most 4") == 1


def test_trials_that_no_cover_fits_fail_with_the_reason(tight):
    for number, fewest in ((2, "2 covers"), (3, "1 cover")):
        trial = tight.trials[number]
        assert trial.state is TrialState.FAIL
        reason = f"out of memory with {fewest} at a time: CUDA out of memory"
        assert trial.user_attrs["reason"].startswith(reason)
        assert trial.user_attrs["recipe_at_fault"]
        assert not tight.run.checkpoint(number).exists()


def test_the_time_budget_ends_the_search(store, tmp_path):
    result = run_search(config(store, tmp_path, trials=None, time_budget_s=40.0, epochs=400))
    assert result.trials
    assert all(trial.state.is_finished() for trial in result.trials)
    assert result.outcome.elapsed_s >= 40


def test_a_search_whose_ending_was_cut_short_is_concluded(watched, finished):
    with pytest.raises(RunError, match=r"all 5 trials .* are finished; give it more"):
        resume_search(finished.path)
    finished.outcome_file.unlink()
    assert resume_search(finished.path).outcome.best == watched[0].outcome.best


def test_a_finished_search_is_given_more(finished):
    ended = open_study(finished).get_trials()
    study = drive_study(finished)
    orphan = study.ask()  # as if it had been killed before it had a recipe
    close_storage(study)
    # As if it had been killed in mid-writing, and before it could remove a checkpoint.
    (half_written := finished.checkpoints / ".trial-00004.pt.0123.partial").touch()
    worst = min(ended[1:5], key=lambda trial: trial.value)
    finished.checkpoint(worst.number).touch()
    there_when_it_began = []

    class Looks(Watcher):
        def started(self, plan, known, spent_s):
            there_when_it_began.extend(RunFolder.open(plan.run).checkpoint_bytes())

    looks = Looks()
    more = resume_search(finished.path, trials=8, observer=looks)
    assert more.trials[:5] == ended
    assert sorted(looks.ends) == [5, 6, 7]
    assert not half_written.exists()
    assert worst.number not in there_when_it_began
    assert len(there_when_it_began) in (3, 4)
    assert len(more.trials) == 8
    assert more.run.config().trials == 8
    assert len({json.dumps(trial.params, sort_keys=True) for trial in more.trials[1:]}) == 7
    assert all(state.is_finished() for state in states(open_study(finished)))
    assert more.trials[orphan.number].user_attrs["history"]


class Onlooker(SearchObserver):
    """Another process that looks at the run while it goes on, and one that wants the study."""

    def __init__(self, run):
        self.run, self.files, self.trials, self.refused = run, set(), [], 0

    def trial_ended(self, trial):
        if trial.number == 0:
            time.sleep(1.1)
        self.files |= {file.name for file in self.run.path.glob("study*")}
        with closing(sqlite3.connect(self.run.study_file, timeout=0)) as other:
            try:
                other.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                self.refused += 1

    def epoch(self, trial, progress, confusion_KK):
        self.trials.append(len(read_trials(self.run)))


def test_a_study_is_its_drivers_alone_and_looked_at_in_its_copy(store, tmp_path, monkeypatch):
    monkeypatch.setattr(covertune.search.record.opening, "_BUSY_TIMEOUT_S", 0.5)
    run = RunFolder(tmp_path / "runs" / "run")
    onlooker = Onlooker(run)
    run_search(config(store, tmp_path, trials=3), onlooker)
    assert onlooker.files == {"study.db", "study.db-wal", "study-copy.db"}
    assert onlooker.refused == 3
    assert onlooker.trials == sorted(onlooker.trials), "the copy never goes back"
    assert onlooker.trials[-1] >= 2, "it goes with the search"
    assert len(read_trials(run)) == 3
    with closing(sqlite3.connect(run.study_file)) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RunError, match="database is locked; another program has it") as told:
            resume_search(run.path, trials=4)
        assert "\n" not in str(told.value)
    assert len(resume_search(run.path, trials=4).trials) == 4
    log = run.log_file.read_text() if run.log_file.exists() else ""
    assert "ray.tune" not in log, "nothing went wrong, so Ray has nothing to tell"
    assert "FileNotFoundError" not in log


def test_a_run_that_another_machine_takes_over_is_left_to_it(store, tmp_path, monkeypatch):
    monkeypatch.setattr(covertune.search.record.owner, "_BEAT_S", 0.1)
    run = RunFolder(tmp_path / "runs" / "run")

    class Taken(SearchObserver):
        def epoch(self, trial, progress, confusion_KK):
            (run.path / ".owner").write_text('{"host": "annex"}')

    with pytest.raises(RunError, match="driven from another machine, 'annex', by now"):
        run_search(config(store, tmp_path, trials=8, epochs=20), Taken())
    with pytest.raises(RunError, match=r"'annex'.*--take-over"):
        resume_search(run.path, trials=2)
    assert not run.outcome_file.exists()
    assert len(resume_search(run.path, trials=2, take_over=True).trials) >= 2
    assert not (run.path / ".owner").exists()


@pytest.mark.filterwarnings("ignore:Query string argument")
def test_the_password_of_a_storage_is_left_nowhere(store, tmp_path):
    """One that SQLite does not need, but that stands in the URL like any other's."""
    url = f"sqlite:///{tmp_path}/trials.db?password=s3cr3t"
    run = run_search(config(store, tmp_path, trials=1, epochs=1, storage=url)).run
    assert len(read_trials(run)) == 1
    with pytest.raises(RunError, match="the one trial of run"):
        resume_search(run.path, storage=url)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert run.manifest_file in files
    assert [file for file in files if b"s3cr3t" in file.read_bytes()] == []
    assert not run.study_copy.exists()


def test_a_damaged_study_is_gone_on_from_with_a_warning(finished):
    finished.study_file.write_bytes(bytes(range(256)) * 200)
    warnings = []

    class Hears(Watcher):
        def warn(self, text):
            warnings.append(text)

    result = resume_search(finished.path, trials=6, observer=Hears())
    assert len(result.trials) == 6
    assert any("going on from its last copy, with 5 trials" in text for text in warnings)


def test_what_was_killed_before_its_first_trial_is_prepared_anew(store, tmp_path):
    wanted = config(store, tmp_path, trials=2, epochs=1)
    run = RunFolder.create(wanted)
    run.start(wanted)
    with pytest.raises(RunError, match=r"run 'run' has no trial yet; .*covertune resume"):
        open_study(run)
    # Killed just before it was written down.
    close_storage(create_study(run, make_sampler("tpe", 0), None))
    result = resume_search(run.path)
    assert [trial.state for trial in result.trials] == [TrialState.COMPLETE] * 2
    assert result.run.manifest().store_fingerprint


def test_a_changed_store_is_noticed(finished):
    finished.update(finished.config(), store_fingerprint="another")
    with pytest.raises(RunError, match="has changed since run 'run' was started"):
        resume_search(finished.path, trials=6)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"backbones": ("resnet5",)}, "resnet5"),
        ({"weights": {"small_cnn": "/nowhere.pth"}}, "nowhere.pth"),
        ({"cpus_per_trial": 999}, "lower --cpus-per-trial"),
        ({"gpus_per_trial": 3.0}, "no node has that"),
    ],
)
def test_what_cannot_work_stops_at_once_and_leaves_nothing(store, tmp_path, overrides, message):
    with pytest.raises(Exception, match=message) as caught:
        run_search(config(store, tmp_path, **overrides))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs" / "run").exists()


def test_weights_that_do_not_fit_stop_at_once(store, tmp_path):
    file = tmp_path / "other.pth"
    torch.save({"some.layer": torch.zeros(3)}, file)
    with pytest.raises(PreflightError, match=r"other\.pth"):
        run_search(config(store, tmp_path, weights={"small_cnn": str(file)}))
    assert not (tmp_path / "runs" / "run").exists()


def test_a_run_that_exists_is_left_alone(store, tmp_path):
    taken = tmp_path / "runs" / "run"
    taken.mkdir(parents=True)
    (taken / "precious").touch()
    with pytest.raises(RunError, match="exists already"):
        run_search(config(store, tmp_path))
    assert (taken / "precious").exists()

"""What a search says whose trials have measured nothing."""

import optuna
import pytest
from optuna.trial import TrialState

from covertune.search import SearchConfig
from covertune.search.driving import _why_nothing_was_measured
from covertune.search.record.run_folder import RunFolder


def trial(reason, state):
    return optuna.trial.create_trial(state=state, user_attrs={"reason": reason})


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return RunFolder.create(SearchConfig(runs_dir=tmp_path / "my runs", name="short"))


@pytest.mark.parametrize("trials", [[], [trial("time budget", TrialState.PRUNED)]])
def test_a_time_budget_that_was_too_small_names_its_remedy(run, trials):
    assert _why_nothing_was_measured(run, trials) == (
        "no trial of run 'short' measured anything before the time budget was spent; give it more, "
        "e.g. `covertune resume 'my runs/short' --time-budget 20m`"
    )


def test_failures_are_told(run):
    trials = [trial("out of memory", TrialState.FAIL), trial("time budget", TrialState.PRUNED)]
    assert _why_nothing_was_measured(run, trials) == (
        f"no trial of run 'short' measured anything: out of memory; time budget; see {run.log_file}"
    )

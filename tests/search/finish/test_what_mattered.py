import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from covertune.search.finish.what_mattered import what_mattered
from covertune.search.record.constants import RECIPE_AT_FAULT


def study_of(trials, value, seed=0):
    """Trials of a random search whose first epoch measured `value(params, noise)`."""
    rng = np.random.default_rng(seed)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=seed)
    )
    for _ in range(trials):
        trial = study.ask()
        params = {
            "net.frozen_stages": trial.suggest_int("net.frozen_stages", 0, 8),
            "lr": trial.suggest_float("lr", 1e-5, 1e-2, log=True),
            "head": trial.suggest_categorical("head", ["random", "probe"]),
            "drop_rate": trial.suggest_float("drop_rate", 0.0, 0.5),
        }
        if trial.suggest_categorical("mixing", ["none", "mixup"]) == "mixup":
            params["alpha"] = trial.suggest_float("alpha", 0.1, 1.0)
        measured = value(params, rng.normal(0, 0.02))
        trial.report(measured, 1)
        study.tell(trial, measured)
    return study.trials


def rate_matters(params, noise):
    return 0.5 - 0.1 * abs(np.log10(params["lr"]) + 3) + noise


def test_what_matters_is_found_and_said():
    insight = what_mattered(study_of(60, rate_matters), 1)
    assert insight.settings[0].name == "lr"
    assert [setting.name for setting in insight.settings if setting.mattered] == ["lr"]
    low, high = map(float, insight.settings[0].best.split(" to "))
    assert 1e-4 < low < 1e-3 < high < 1e-2
    assert insight.in_words.startswith("What mattered (60 trials compared at epoch 1;")
    assert "lr: " in insight.in_words
    assert "drop_rate" not in insight.in_words


def test_options_and_numbers_of_stages_are_told():
    def value(params, noise):
        return 0.3 * (params["head"] == "probe") - 0.05 * params["net.frozen_stages"] + noise

    settings = {s.name: s for s in what_mattered(study_of(80, value), 1).settings if s.mattered}
    assert settings.keys() == {"head", "frozen_stages"}
    assert settings["head"].best.startswith("probe ")
    low, high = map(float, settings["frozen_stages"].best.split(" to "))
    assert low < high < 6


def test_nothing_is_claimed_of_noise():
    """At a level of 5 in 100, of twelve searches hardly two would be wrong."""
    wrong = [
        setting
        for seed in range(12)
        for setting in what_mattered(study_of(30, lambda _, noise: noise, seed), 1).settings
        if setting.mattered
    ]
    assert len(wrong) <= 2


def test_few_trials_are_too_few():
    insight = what_mattered(study_of(19, rate_matters), 1)
    assert insight.in_words == (
        "What mattered: too few to say, 19 trials to compare at epoch 1; 20 are needed."
    )


def test_noise_is_said_to_be_none():
    insight = what_mattered(study_of(20, lambda _, noise: noise), 1)
    insight.settings.clear()
    assert "no single parameter beyond chance (20 trials" in insight.in_words


@pytest.mark.parametrize(("at_fault", "counted"), [(True, 25), (False, 24)])
def test_failures_count_if_the_recipe_was_at_fault(at_fault, counted):
    trials = study_of(25, rate_matters)
    trials[3].state = TrialState.FAIL
    trials[3].user_attrs[RECIPE_AT_FAULT] = at_fault
    assert what_mattered(trials, 1).trials == counted


def test_the_yardstick_is_left_out():
    trials = study_of(25, rate_matters)
    trials[0].user_attrs["role"] = "untuned"
    assert what_mattered(trials, 1).trials == 24

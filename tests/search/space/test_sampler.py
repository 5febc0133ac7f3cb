"""The sampler learns from failures and from running trials."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from covertune.search.config import SEEDS
from covertune.search.record.constants import RECIPE_AT_FAULT
from covertune.search.space.sampler import FailureAwareTPESampler, make_sampler


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def share_in_the_failing_half(blame):
    """Where a sampler goes after 12 fair trials all over, and 12 failures above 0.5."""
    study = optuna.create_study(direction="maximize", sampler=make_sampler("tpe", 0))
    distributions = {"x": FloatDistribution(0, 1)}
    for number in range(12):
        x = (number + 0.5) / 12
        study.add_trial(create_trial(params={"x": x}, distributions=distributions, value=0.5))
    for number in range(12):
        study.add_trial(
            create_trial(
                params={"x": 0.5 + (number + 0.5) / 24},
                distributions=distributions,
                state=TrialState.FAIL,
                user_attrs={RECIPE_AT_FAULT: blame},
            )
        )
    asked = [study.ask().suggest_float("x", 0, 1) for _ in range(40)]
    return sum(x > 0.5 for x in asked) / len(asked)


def test_it_keeps_away_from_what_failed_by_its_own_fault():
    assert share_in_the_failing_half(blame=True) < share_in_the_failing_half(blame=False) - 0.2


def test_the_largest_seed_can_be_resumed():
    make_sampler("tpe", SEEDS - 1, known=10_000)


def test_a_resumed_search_draws_anew():
    assert isinstance(make_sampler("tpe", 0), FailureAwareTPESampler)

    def first(sampler):
        return optuna.create_study(sampler=sampler).ask().suggest_float("x", 0, 1)

    assert first(make_sampler("tpe", 0)) == first(make_sampler("tpe", 0))
    assert first(make_sampler("tpe", 0)) != first(make_sampler("tpe", 0, known=3))


def test_random_is_drawn_by_seed():
    study = optuna.create_study(sampler=make_sampler("random", 3))
    again = optuna.create_study(sampler=make_sampler("random", 3))
    assert type(study.sampler) is optuna.samplers.RandomSampler
    assert study.ask().suggest_float("x", 0, 1) == again.ask().suggest_float("x", 0, 1)


@pytest.fixture
def modelled(monkeypatch):
    """Numbers of the trials for which the sampler built a model."""
    numbers = []
    build = FailureAwareTPESampler._build_parzen_estimator

    def spy(self, study, search_space, trials, handle_below):
        numbers.append(len(study.trials) - 1)
        return build(self, study, search_space, trials, handle_below)

    monkeypatch.setattr(FailureAwareTPESampler, "_build_parzen_estimator", spy)
    return numbers


def test_the_start_up_ends_when_enough_was_measured_however_many_workers_ask(modelled):
    """None of these has ended; Optuna's own would go on drawing by chance."""
    study = optuna.create_study(direction="maximize", sampler=make_sampler("tpe", 0))
    for number in range(24):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        if number >= 8:
            optuna.Trial(study, study.trials[number - 8]._trial_id).report(0.5, 1)
    assert {trial.state for trial in study.trials} == {TrialState.RUNNING}
    assert set(modelled) == set(range(16, 24))


def test_running_trials_are_judged_by_what_they_measured():
    """Sixteen run: those with a small x measure more. New trials go there, not away from it."""
    study = optuna.create_study(direction="maximize", sampler=make_sampler("tpe", 0))
    for number in range(16):
        study.enqueue_trial({"x": number / 16})
        trial = study.ask()
        trial.report(1 - trial.suggest_float("x", 0, 1), 1)
    asked = [study.ask().suggest_float("x", 0, 1) for _ in range(20)]
    assert sum(x < 0.5 for x in asked) > 14

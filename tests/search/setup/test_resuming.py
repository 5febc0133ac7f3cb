"""What a run has to have in common with the program that takes it up."""

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from covertune.models import ProgressMetrics
from covertune.search.config import SearchConfig
from covertune.search.errors import RunError
from covertune.search.plan import InputVariant, TrainedBefore
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.trial_record import ROLE_UNTUNED
from covertune.search.setup.resuming import check_space_unchanged, extended, trained_before
from covertune.search.space.search_space import BackboneOptions, SearchSpace

BACKBONES = (
    BackboneOptions("efficientnet_lite0", stages=9, pretrained=True, image_px=(128, 160)),
    BackboneOptions("small_cnn", stages=4, pretrained=False, image_px=(64,)),
)


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(SearchConfig(runs_dir=tmp_path, name="first"))


def asked(suggest, trials):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(trials):
        trial = study.ask()
        suggest(trial)
        trial.set_user_attr("recipe", "as it was answered")
    return study


def test_a_space_goes_on_in_its_own_study(run):
    config = SearchConfig(backbones=tuple(facts.name for facts in BACKBONES))
    space = SearchSpace(
        config.trial_plan,
        BACKBONES,
        frozenset({InputVariant.square("efficientnet_lite0", 160, "squash")}),
    )
    study = asked(space.suggest, trials=30)
    study.add_trial(create_trial(value=0.5, user_attrs={"role": ROLE_UNTUNED, "recipe": {}}))
    check_space_unchanged(run, study, space.suggest)


def test_a_trial_that_was_killed_while_it_was_asked_is_no_other_space(run):
    study = asked(lambda trial: trial.suggest_float("first", 0, 1), 1)
    study.ask().suggest_float("first", 0, 1)

    def both(trial):
        return trial.suggest_float("first", 0, 1), trial.suggest_float("second", 0, 1)

    check_space_unchanged(run, study, lambda trial: trial.suggest_float("first", 0, 1))
    with pytest.raises(RunError, match="trial 0: "):
        check_space_unchanged(run, study, both)


@pytest.mark.parametrize("chosen", ["probe", "random"])
def test_other_answers_to_a_question_are_told_in_one_line(run, chosen):
    before = asked(lambda trial: trial.suggest_categorical("head_init", ["random", "probe"]), 1)
    (trial,) = before.get_trials(deepcopy=False)
    trial.params["head_init"] = chosen
    with pytest.raises(RunError, match=r"space has changed since run 'first' .*--warm-start"):
        check_space_unchanged(
            run, before, lambda trial: trial.suggest_categorical("head_init", ["zero", "probe"])
        )


def test_a_new_limit_changes_nothing_else():
    config = SearchConfig(trials=3, keep_checkpoints=None, baseline=0.4)
    assert extended(config, None, 60.0) == config.model_copy(
        update={"trials": None, "time_budget_s": 60.0}
    )


def test_what_trials_took_is_known_when_they_are_taken_up():
    study = optuna.create_study()
    recipe = {"backbone": "small_cnn", "image_px": 64}
    row = dict.fromkeys(ProgressMetrics.model_fields, 0.5) | {"covers_seen": 9}
    history = [row | {"epoch": 1, "seconds": 4.0}, row | {"epoch": 2, "seconds": 3.0}]
    study.add_trial(create_trial(value=0.5, user_attrs={"recipe": recipe, "history": history}))
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"recipe": recipe}))
    study.ask()
    assert trained_before(study) == (TrainedBefore("small_cnn", 64, 2, 7.0),)

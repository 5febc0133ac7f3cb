"""What a run has to have in common with the program that takes it up."""

import optuna
import pytest

from search.config import SearchConfig
from search.errors import RunError
from search.record.resuming import require_same_questions
from search.record.run_folder import RunFolder
from search.trials.space import BackboneFacts, SearchSpace

BACKBONES = (
    BackboneFacts("efficientnet_lite0", stages=9, pretrained=True, image_px=(128, 160)),
    BackboneFacts("small_cnn", stages=4, pretrained=False, image_px=(64,)),
)


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(SearchConfig(runs_dir=tmp_path, name="first"))


def asked(suggest, trials):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(trials):
        suggest(study.ask())
    return study


def test_a_space_goes_on_in_its_own_study(run):
    config = SearchConfig(backbones=tuple(facts.name for facts in BACKBONES))
    space = SearchSpace(config, BACKBONES, frozenset({("efficientnet_lite0", 160, "squash")}))
    require_same_questions(run, asked(space.suggest, trials=30), space.suggest)


@pytest.mark.parametrize("chosen", ["probe", "random"])
def test_other_answers_to_a_question_are_told_in_one_line(run, chosen):
    before = asked(lambda trial: trial.suggest_categorical("head_init", ["random", "probe"]), 1)
    (trial,) = before.get_trials(deepcopy=False)
    trial.params["head_init"] = chosen
    with pytest.raises(RunError, match=r"space has changed since run 'first' .*--warm-start"):
        require_same_questions(
            run, before, lambda trial: trial.suggest_categorical("head_init", ["zero", "probe"])
        )

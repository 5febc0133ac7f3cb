"""covertune's search space for those who do not search with covertune.

Optuna and Ray's `OptunaSearch` are asked by `SearchSpace.suggest` itself. Who cannot run such a
function takes the `questions` as a flat space, and makes a recipe of the answers with `recipe_of`.

No frozen probe is there to start a head from, so `head_init` is never asked: heads start at zero.
"""

from __future__ import annotations

from covertune.models import Recipe, get_backbone

BACKBONE = "efficientnet_lite0"
_ASKED = 200  # often enough to have met every question that depends on an answer


def search_space(piece):
    """Return the space of a search over one backbone at one size."""
    # Here, because a trial of Syne Tune, which is a process of its own, needs none of it.
    from covertune.search.config import SearchConfig
    from covertune.search.space.search_space import BackboneOptions, SearchSpace

    config = SearchConfig(epochs=piece.epochs, image_px=(piece.image_px,), seed=piece.seed)
    stages = len(get_backbone(BACKBONE).stage_names())
    facts = BackboneOptions(BACKBONE, stages, pretrained=True, image_px=(piece.image_px,))
    return SearchSpace(config.trial_plan, (facts,), probed=frozenset())


def questions(piece):
    """Return every question the space can ask, by name, as Optuna's distributions."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = search_space(piece)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    met = {}
    for _ in range(_ASKED):
        trial = study.ask()
        recipe = space.suggest(trial)
        assert recipe == recipe_of(piece, trial.params, trial.number), "the space has changed"
        met |= trial.distributions
    return met


def recipe_of(piece, answers, number):
    """Make a recipe from answers to all questions, those that do not apply included."""
    answers = {name.removeprefix(f"{BACKBONE}."): answer for name, answer in answers.items()}
    mixing, averages = answers.pop("mixing"), answers.pop("ema")
    for kind in {"mixup", "cutmix"} - {mixing}:
        answers.pop(f"{kind}_alpha", None)
    if not averages:
        answers.pop("ema_decay", None)
    return Recipe(
        backbone=BACKBONE,
        image_px=piece.image_px,
        epochs=piece.epochs,
        seed=piece.seed + number,
        head_init="zero",
        optimizer="adamw",
        schedule="cosine",
        **answers,
    )

import ast
import re

import pytest
from huggingface_hub import ModelCard

from covertune.models import Calibration, GenreMeasurement, get_backbone
from covertune.models.export.card import licence_of, write_card, write_program
from covertune.models.export.config import Preprocessing
from covertune.wording import escaped


@pytest.fixture(scope="module")
def saved(tmp_path_factory, save, small_cnn):
    return save(tmp_path_factory.mktemp("card") / "model", model=small_cnn)


@pytest.fixture(scope="module")
def config_with(saved):
    """The config of a model folder with other things known of it."""

    def config(**changes):
        ours = saved.config.covertune.model_copy(update=changes)
        return saved.config.model_copy(update={"covertune": ours})

    return config


@pytest.fixture(scope="module")
def card_with(config_with):
    return lambda **changes: write_card(config_with(**changes), get_backbone("small_cnn"))


@pytest.fixture(scope="module")
def card(saved):
    return (saved.path / "README.md").read_text(encoding="utf-8")


def test_the_hub_reads_its_metadata(card):
    data = ModelCard(card).data
    assert data.license == "apache-2.0"
    assert data.library_name == "covertune"
    assert data.pipeline_tag == "image-classification"
    assert data.base_model is None  # from scratch
    assert data.tags == ["image-classification", "covertune"]
    results = {result.metric_type: result for result in data.eval_results}
    assert (results["accuracy"].metric_value, results["f1"].metric_value) == (0.75, 0.5)
    assert results["accuracy"].dataset_name == "my-covers"
    assert results["accuracy"].dataset_split == "test"


def test_the_metadata_of_a_pretrained_network(config_with, recipe_for, saved):
    recipe = recipe_for("efficientnet_lite0", weights="default")
    loading = saved.config.covertune.loading.model_copy(update={"library": "timm"})
    config = config_with(recipe=recipe, loading=loading)
    data = ModelCard(write_card(config, get_backbone("efficientnet_lite0"))).data
    assert data.library_name == "timm"
    assert data.base_model == "timm/tf_efficientnet_lite0.in1k"
    assert data.tags == ["image-classification", "covertune", "timm"]


def test_weights_somebody_gave_have_no_licence_we_know(card_with, recipe_for):
    recipe = recipe_for(weights="w.pth")
    licence = licence_of(get_backbone("small_cnn"), recipe)
    data = ModelCard(card_with(recipe=recipe, licence=licence)).data
    assert data.license == "other"
    assert data.license_name.startswith("that-of-the-given-weights")
    assert data.base_model is None


def test_what_it_tells(card):
    assert "# `small_cnn` fine-tuned on `my-covers`" in card
    assert "On the 48 test covers of the store `my-covers`:" in card
    assert "| top-1 accuracy | 0.750 | 0.612 to 0.851 |" in card  # Wilson, 36 of 48
    assert "- covers: train 96, val 48" in card
    assert "none, trained from scratch" in card
    assert "`romance`, `Über|reise`" in card
    assert "calibration error" not in card.partition("## What it takes")[0], "it is no number"
    for mark in ("{{", "{%", "None "):
        assert mark not in card


def test_each_genre_by_itself(card_with):
    genre = GenreMeasurement(
        genre="a|b", n=20, recall=0.5, recall_interval=(0.3, 0.7), precision=None
    )
    card = card_with(by_genre=(genre,), metrics={})
    assert r"| `a\|b` | 20 | 0.500 | 0.300 to 0.700 |  |" in card
    assert "No measurement was recorded." in card


def test_transformers_is_asked_for_all_genres(config_with, saved):
    loading = saved.config.covertune.loading.model_copy(update={"library": "timm"})
    names = [f"genre {number}" for number in range(12)]
    config = config_with(loading=loading).model_copy(update={"label_names": names})
    card = write_card(config, get_backbone("small_cnn"))
    assert 'classify(open_cover("cover.jpg"), top_k=12)' in card  # None is five, there


def test_names_from_outside_are_no_markdown(card_with):
    card = card_with(provenance={"store": "[x](y) `<img>`\n# big"})
    body = card.partition("\n---\n")[2]
    assert r"# `small_cnn` fine-tuned on `[x](y) '<img>'\n# big`" in body
    assert "\n# big" not in body


def test_several_genres(card_with):
    card = card_with(metrics={"test": {"n": 10, "top1": 0.5, "any_top1": 0.7}})
    assert "| any of its genres | 0.700 |" in card
    assert "Some covers have several genres." in card


def test_calibration_in_words(card_with):
    told = Calibration(
        temperature=1.25,
        covers=1600,
        val_loss_before=1.2,
        val_loss_after=1.1,
        val_ece_before=0.2,
        val_ece_after=0.05,
        test_loss_before=1.3,
        test_loss_after=1.15,
        test_ece_before=0.18,
        test_ece_after=0.06,
    )
    card = card_with(calibration=told)
    assert "One temperature, 1.25, was fitted on 1,600 validation covers" in card
    assert "log loss went there from 1.200 to 1.100, on test from 1.300 to 1.150;" in card
    assert "error there from 0.200 to 0.050, on test from 0.180 to 0.060." in card
    assert "as a ranking" not in card
    few = card_with(calibration=told.model_copy(update={"covers": 132}))
    assert "With so few covers read the probabilities as a ranking." in few
    card = card_with(uncalibrated_because="the store is gone")
    assert "Its probabilities are not calibrated: the store is gone." in card


def test_a_demonstration_says_so(card, card_with):
    assert "A demonstration" not in card
    shown = card_with(provenance={"store": "generated sample covers", "demonstration": "drawn"})
    assert "**A demonstration.** It was trained and measured on covers drawn by a program" in shown


@pytest.mark.parametrize(
    ("fit", "caveat"),
    [
        ("squash", "transparent parts on white;"),
        ("pad", "and their bars have another colour;"),
        ("crop", "and they cut at whole pixels;"),
    ],
)
def test_what_other_transforms_do_otherwise(card_with, fit, caveat):
    prepared = Preprocessing.of(get_backbone("small_cnn").input.at(32), fit)
    takes = card_with(preprocessing=prepared).partition("## What it takes")[2]
    assert caveat in " ".join(takes.partition("## Use it")[0].split())


def test_the_program_holds_any_name(saved):
    names = ["it's", 'a "b"', "c\\d", "e\nf"]
    program = write_program(saved.config.model_copy(update={"label_names": names}))
    found = re.search(r"^GENRES = (\[.*?^\])", program, flags=re.DOTALL | re.MULTILINE)
    assert ast.literal_eval(found[1]) == names


def test_names_are_shown_escaped(saved):
    """Whatever a genre or a store is called, neither page nor program acts on who reads them."""
    names = ["\x1b]0;mine\x07", "a\nb\u202e|`"]
    ours = saved.config.covertune
    provenance = {**ours.provenance, "store": names[1]}
    by_genre = [row.model_copy(update={"genre": name}) for row, name in zip(
        ours.by_genre or [GenreMeasurement(
            genre="x", n=4, recall=0.5, recall_interval=(0.1, 0.9), precision=0.5)] * 2,
        names, strict=False)]  # fmt: skip
    config = saved.config.model_copy(
        update={
            "label_names": names,
            "covertune": ours.model_copy(update={"provenance": provenance, "by_genre": by_genre}),
        }
    )
    card = write_card(config, get_backbone("small_cnn"))
    assert all(escaped(line) == line for line in card.split("\n"))
    assert r"`\x1b]0;mine\x07`, `a\nb\u202e|'`" in card
    assert r"| `a\nb\u202e\|'` |" in card
    program = write_program(config)
    assert all(escaped(line) == line for line in program.split("\n"))
    names_there: dict[str, object] = {}
    tree = ast.parse(program)
    kept = [node for node in tree.body if getattr(node, "name", "") == "visible"]
    exec(compile(ast.Module(kept, []), "predict.py", "exec"), names_there)
    assert names_there["visible"]("\x1b[2J\u202eé\n") == r"\x1b[2J\u202eé\n"

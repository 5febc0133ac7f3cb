"""The configuration: defaults, YAML, command line, and all problems at once."""

import math

import pytest

from covertune.search.config import SearchConfig, load_config
from covertune.search.errors import ConfigError


def test_defaults_limit_the_trials():
    assert load_config().trial_limit == 16


def test_a_time_budget_alone_lifts_the_limit_of_trials():
    assert load_config(time_budget_s=60.0).trial_limit is None
    assert load_config(time_budget_s=60.0, trials=5).trial_limit == 5


def test_explicit_values_win_over_the_file(tmp_path):
    file = tmp_path / "search.yaml"
    file.write_text("trials: 30\nepochs: 9\nbackbones: [resnet18, small_cnn]\n")
    config = load_config(file, trials=5, name=None)
    assert (config.trials, config.epochs) == (5, 9)
    assert config.backbones == ("resnet18", "small_cnn")


def test_all_problems_come_at_once():
    with pytest.raises(ConfigError) as caught:
        load_config(trials=0, epochs=0, seed=-1)
    message = str(caught.value)
    assert "trials: input should be greater than or equal to 1, got 0" in message
    assert "epochs: " in message
    assert "seed: " in message
    assert "\n" not in message


def test_unknown_settings_are_named_with_the_known_ones(tmp_path):
    file = tmp_path / "search.yaml"
    file.write_text("trails: 3\n")
    with pytest.raises(
        ConfigError, match=r"unknown setting 'trails', meant 'trials'\?; known: .*trials"
    ):
        load_config(file)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"epochs": 2, "grace_epochs": 3}, "grace_epochs must not exceed epochs, got 3 > 2"),
        ({"backbones": ("a", "a")}, "each backbone is named once, got a twice"),
        ({"weights": {"b": "none"}}, "weights are given for b, which the search does not use"),
        ({"fits": ("pad", "pad")}, "each fit is named once, got pad, pad"),
        (
            {"fits": ("stretch",)},
            "fits.0: input should be 'squash', 'pad' or 'crop', got 'stretch'",
        ),
        ({"image_px": (16,)}, "image_px is at least 32, got 16"),
        ({"address": "elsewhere"}, "address is `auto` or HOST:PORT, got 'elsewhere'"),
        ({"address": "http://head:8265"}, "as a Ray job is not built yet"),
        ({"name": "../up"}, "name: string should match pattern"),
        ({"baseline": 40.0}, "baseline: input should be less than or equal to 1"),
        ({"baseline": math.nan}, "baseline: input should be a finite number, got nan"),
        ({"memory_gb": math.inf}, "memory_gb: input should be a finite number, got inf"),
        ({"seed": 2**32}, "seed: input should be less than 4294967296, got 4294967296"),
    ],
)
def test_each_rule_says_what_it_is(given, rule):
    with pytest.raises(ConfigError) as caught:
        load_config(**given)
    assert rule in str(caught.value)


@pytest.mark.parametrize("text", ["- a list\n", "trials: [1\n", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    file = tmp_path / "search.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"search\.yaml"):
        load_config(file)


def test_a_setting_that_is_no_name_is_refused(tmp_path):
    file = tmp_path / "search.yaml"
    file.write_text("on: 1\n")
    with pytest.raises(ConfigError, match=r"keys should be strings"):
        load_config(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


def test_every_field_is_described():
    undescribed = [n for n, field in SearchConfig.model_fields.items() if not field.description]
    assert undescribed == []


def test_it_survives_json():
    config = load_config(backbones=("small_cnn",), weights={"small_cnn": "none"}, trials=3)
    assert SearchConfig.model_validate_json(config.model_dump_json()) == config


def test_settings_without_effect_are_warned_of():
    assert SearchConfig().without_effect() == []
    assert "no rung below" in SearchConfig(epochs=3, grace_epochs=3).without_effect()[0]
    [told] = SearchConfig(epochs=10, brackets=4).without_effect()
    assert told.startswith("brackets 4 has no more effect than 3, the number of rungs")
    assert "no effect without" in SearchConfig(baseline_name="Kaggle").without_effect()[0]


def test_a_password_is_in_no_message(tmp_path):
    url = "postgresql://me:s3cr3t@host/trials"
    file = tmp_path / "search.yaml"
    for text in (f"storage: [{url}]", f"storage: {url}: {url}", f"storage: {url}\nepochs: none"):
        file.write_text(text)
        with pytest.raises(ConfigError) as told:
            load_config(file)
        assert "s3cr3t" not in str(told.value)
    assert "s3cr3t" not in repr(load_config(storage=url))

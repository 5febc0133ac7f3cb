"""Frozen probes: fitted once with all workers, kept, and what a search does with them."""

import os
import stat

import pytest
import torch

from covertune.data_pipeline import CoverStore, decode_store
from covertune.search.config import SearchConfig
from covertune.search.plan import InputVariant, TrialResources
from covertune.search.record.run_folder import RunFolder
from covertune.search.run import run_search
from covertune.search.setup.probes import fit_or_load_probe, probe_file, probe_model

VARIANT = InputVariant.square("efficientnet_lite0", 32, "squash")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return RunFolder.create(SearchConfig(runs_dir=tmp_path_factory.mktemp("runs"), name="a"))


@pytest.fixture(scope="module")
def fit(run, store):
    """Fit a probe, or read the one that is there."""
    from covertune.search.cluster.session import slots_of
    from covertune.search.cluster.workers import Workers

    opened = CoverStore.open(store)
    splits = decode_store(opened, 32)
    workers = Workers(slots_of(TrialResources()))
    return lambda: fit_or_load_probe(run, VARIANT, "default", splits, len(opened.genres), workers)


@pytest.fixture(scope="module")
def probe(fit):
    return fit()


def test_a_probe_is_fitted_once_and_read_after_that(run, fit, probe):
    again = fit()
    assert probe_file(run, VARIANT).exists()
    assert again.seconds == probe.seconds
    assert torch.equal(probe.head.weight_KD, again.head.weight_KD)
    assert again.metrics.top1 == probe.metrics.top1 > 0.5  # the genres differ in colour


def test_colleagues_can_read_it(run, probe):
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(probe_file(run, VARIANT).stat().st_mode) == 0o666 & ~umask


def test_a_damaged_probe_is_fitted_anew(run, fit, probe, told):
    file = probe_file(run, VARIANT)
    file.write_bytes(file.read_bytes()[:100])
    again = fit()
    assert "is fitted anew" in told.text
    assert torch.equal(probe.head.weight_KD, again.head.weight_KD)


def test_a_probe_is_a_classifier(probe):
    model = probe_model(probe, "default", 3)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    assert not model.training


def test_a_name_with_a_slash_is_one_file(run):
    assert probe_file(run, InputVariant.square("timm/resnet10t", 64, "pad")).parent == run.probes


def test_trials_start_from_it_and_the_outcome_names_it(store, tmp_path):
    result = run_search(
        SearchConfig(
            store=store, runs_dir=tmp_path, name="r", image_px=(32,), trials=3, epochs=3, seed=1
        )
    )
    recipes = [trial.user_attrs["recipe"] for trial in result.trials]
    assert recipes[0]["head_init"] == "random"
    assert recipes[1]["head_init"] == "zero"
    assert recipes[2]["head_init"] == "probe"
    assert result.outcome.baseline_name == "frozen probe"
    assert result.outcome.probe.test.n == CoverStore.open(store).count("test")

"""Covers that are no squares, and the ways of fitting them that a search chooses from."""

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from covertune.data_pipeline import (
    CoverStore,
    PrepareSettings,
    decoded_nbytes,
    load_square,
    prepare_store,
)
from covertune.models import load_model
from covertune.search.cluster.workers import Workers
from covertune.search.config import SearchConfig
from covertune.search.events import SearchObserver
from covertune.search.plan import InputVariant, Slots
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import open_study, recipe_of
from covertune.search.run import resume_search, run_search
from covertune.search.setup.feed import RehearsalFeed
from covertune.search.setup.probes import fit_or_load_probe, probe_file
from covertune.search.setup.set_up import _Steps
from covertune.search.use.evaluate import evaluate_model
from covertune.search.use.predict import predict_covers
from covertune.vocabulary import SPLITS

SLOTS = Slots(count=2, cpus_per_trial=1, gpus_per_trial=0.0, nodes=1, cpus=2, gpus=0)


@pytest.fixture(scope="module")
def tall(tmp_path_factory, local_ray):
    """A store of covers of 32 x 56 px, told apart by the colour of their middle."""
    folder = tmp_path_factory.mktemp("tall")
    rng = np.random.default_rng(0)
    for genre, colour in {"Alarm": (200, 40, 40), "Balm": (40, 200, 40)}.items():
        (folder / "raw" / genre).mkdir(parents=True)
        for number in range(30):
            pixels = rng.normal(120, 60, size=(56, 32, 3))
            pixels[14:42] = rng.normal(colour, 50, size=(28, 32, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / "raw" / genre / f"{number:03}.png")
    prepare_store(folder / "raw", folder / "store", settings=PrepareSettings(max_px=32))
    return folder


class Listener(SearchObserver):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def steps(config, listener=None):
    return _Steps(config, run=None, budget=None, observer=listener)


def test_where_all_covers_are_squares_the_choice_has_no_effect_and_says_so(store):
    listener = Listener()
    squares = CoverStore.open(store)
    config = SearchConfig(fits=("squash", "pad"))
    assert steps(config, listener).fits_that_differ(squares) == ("squash",)
    assert listener.warnings == [
        "fit squash, pad has no effect: all covers of the store are squares"
    ]
    assert steps(SearchConfig(), listener).fits_that_differ(squares) == ("squash",)
    assert len(listener.warnings) == 1


def test_tall_covers_leave_the_choice(tall):
    listener = Listener()
    config = SearchConfig(fits=("pad", "crop"))
    assert steps(config, listener).fits_that_differ(CoverStore.open(tall / "store")) == (
        "pad",
        "crop",
    )
    assert listener.warnings == []


def test_each_fit_counts_in_the_memory_plan(tall):
    store = CoverStore.open(tall / "store")
    sizes = {"efficientnet_lite0": (32,)}
    needed = [steps(SearchConfig())._feed(store, SLOTS, sizes, fits).plan.needed for fits in (1, 3)]
    assert needed == [decoded_nbytes(store, 32, SPLITS), 3 * decoded_nbytes(store, 32, SPLITS)]


def test_a_rehearsal_has_its_sample_in_each_fit(tall):
    feed = RehearsalFeed(CoverStore.open(tall / "store"))
    padded, cropped = feed.for_trials(16, ("pad", "crop")).values()
    assert (padded["val"].fit, cropped["val"].fit) == ("pad", "crop")
    one, other = padded["val"].get(), cropped["val"].get()
    assert one.cover_ids_N.tolist() == other.cover_ids_N.tolist()
    assert any((a != b).any() for a, b in zip(one.images, other.images, strict=True))
    assert feed.test_split(16, ("crop",))["crop"]["test"].fit == "crop"


def test_probes_of_fits_are_kept_apart(tall, tmp_path):
    store = CoverStore.open(tall / "store")
    run = RunFolder.create(SearchConfig(runs_dir=tmp_path, name="r"))
    fitted = RehearsalFeed(store).for_trials(32, ("squash", "crop"))
    variants = [InputVariant.square("efficientnet_lite0", 32, fit) for fit in ("squash", "crop")]
    probes = [
        fit_or_load_probe(run, variant, "default", fitted[variant.fit], 2, Workers(SLOTS))
        for variant in variants
    ]
    assert [probe.fit for probe in probes] == ["squash", "crop"]
    assert (probes[0].head.weight_KD != probes[1].head.weight_KD).any()
    files = [probe_file(run, variant) for variant in variants]
    assert [file.name for file in files] == [
        "efficientnet_lite0-32.safetensors",  # as before there was a choice
        "efficientnet_lite0-32-crop.safetensors",
    ]
    assert all(file.exists() for file in files)
    again = fit_or_load_probe(run, variants[1], "default", fitted["crop"], 2, Workers(SLOTS))
    assert again.fit == "crop"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_search_of_two_fits_from_end_to_end(tall, tmp_path):
    """The exported model, what it predicts, and a resumed search go by the best fit."""
    config = SearchConfig(
        store=tall / "store",
        runs_dir=tmp_path,
        name="r",
        backbones=("small_cnn",),
        image_px=(32,),
        fits=("pad", "crop"),
        trials=2,
        epochs=1,
    )
    first = run_search(config)
    assert first.run.manifest().fits == ("pad", "crop")
    resumed = resume_search(first.run.path, trials=4)
    recipes = [recipe_of(trial) for trial in open_study(resumed.run).get_trials()]
    assert {recipe.fit for recipe in recipes} == {"pad", "crop"}
    assert all("fit" in trial.params for trial in resumed.trials[1:])

    model = load_model(resumed.outcome.model)
    assert model.fit == recipes[resumed.outcome.best_trial.trial].fit
    covers = sorted((tall / "raw").rglob("*.png"))[::7]
    session = onnxruntime.InferenceSession(resumed.outcome.model / "model.onnx")
    for cover, answer in zip(covers, predict_covers(resumed.outcome.model, covers), strict=True):
        square = load_square(cover, 32, model.fit).astype(np.float32) / 255
        square = (square - np.float32(model.input_spec.mean)) / np.float32(model.input_spec.std)
        pixels = np.ascontiguousarray(square.transpose(2, 0, 1)[None])
        (told,) = session.run(["probabilities"], {"pixel_values": pixels})[0]
        by_genre = {entry.genre: entry.probability for entry in answer.genres}
        assert [by_genre[genre] for genre in model.genres] == pytest.approx(told.tolist(), abs=1e-4)
    measured = evaluate_model(resumed.outcome.model, tall / "store")
    assert measured.top1 == pytest.approx(resumed.outcome.best.test.top1, abs=0.02)

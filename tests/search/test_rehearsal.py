"""A rehearsal: the same search on a sample, and what the whole would cost."""

import json

from covertune.data_pipeline import CoverStore
from covertune.search.config import SearchConfig
from covertune.search.run import run_search


def test_a_rehearsal_says_what_it_is(store, tmp_path):
    whole = CoverStore.open(store)
    result = run_search(
        SearchConfig(
            store=store,
            runs_dir=tmp_path,
            name="r",
            backbones=("small_cnn",),
            image_px=(32,),
            trials=2,
            epochs=1,
            rehearse=True,
        )
    )
    outcome = result.outcome
    assert outcome.whole_search_s > 0
    told = json.loads((outcome.model / "config.json").read_text())["covertune"]["provenance"]
    assert "sample of the store's training covers" in told["rehearsal"]
    assert told["covers"]["test"] == outcome.best.test.n
    assert sum(told["covers"].values()) <= whole.count("train")
    assert "rehearsal" in (outcome.model / "README.md").read_text()

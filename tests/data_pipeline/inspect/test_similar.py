import io

import numpy as np
from PIL import Image

from covertune.data_pipeline import CoverStore, prepare_store
from covertune.data_pipeline.inspect import similar_across_genres


def dimmed(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB"))
    buffer = io.BytesIO()
    Image.fromarray((pixels * 0.4 + 20).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def test_finds_the_pair_that_was_hidden(make_folder, make_cover, tmp_path, local_ray):
    covers = make_folder(tmp_path / "covers", {"Cooking": 40, "Poetry": 40})
    twin = covers / "Poetry/twin.jpg"
    twin.write_bytes(dimmed((covers / "Cooking/7.jpg").read_bytes()))
    prepare_store(covers, tmp_path / "store", settings=None)
    store = CoverStore.open(tmp_path / "store")
    first, *others = similar_across_genres(store, pairs=5)
    sources = store.read_columns(["source"])["source"].to_pylist()
    assert {sources[place] for place in first.places} == {"Cooking/7.jpg", "Poetry/twin.jpg"}
    assert first.correlation > 0.97
    genres = store.read_columns(["genre"])["genre"].to_pylist()
    for pair in (first, *others):
        assert len({genres[place] for place in pair.places}) == 2
    places = [place for pair in (first, *others) for place in pair.places]
    assert len(places) == len(set(places))


def test_far_more_covers_than_one_block(store):
    pairs = similar_across_genres(store, pairs=200)
    assert 100 < len(pairs) <= 200
    correlations = [pair.correlation for pair in pairs]
    assert correlations == sorted(correlations, reverse=True)

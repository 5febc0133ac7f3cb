import json
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from covertune.data_pipeline import CoverStore, StoreError
from covertune.data_pipeline.images import load_square
from covertune.vocabulary import SPLITS


@pytest.fixture
def copy(store, tmp_path):
    return shutil.copytree(store.path, tmp_path / "store")


def _error(path):
    with pytest.raises(StoreError) as caught:
        CoverStore.open(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestRead:
    def test_counts(self, store):
        assert {split: store.count(split) for split in SPLITS} == {
            "train": 280,
            "val": 60,
            "test": 60,
        }
        assert store.genres == ["Cooking", "Poetry", "Travel"]
        assert store.path.is_absolute()

    def test_images_and_labels(self, store):
        images, labels_N = store.read_images("val")
        assert len(images) == len(labels_N) == 60
        assert labels_N.dtype == np.int64
        assert np.bincount(labels_N).tolist() == [30, 24, 6]
        assert load_square(images[0], 16).shape == (16, 16, 3)

    @pytest.mark.parametrize("limit", [0, 1, 127, 128, 129, 280, 1000])
    def test_the_first_few(self, store, limit):
        images, labels_N = store.read_images("train", limit)
        everything, all_labels_N = store.read_images("train")
        assert images == everything[:limit]
        assert np.array_equal(labels_N, all_labels_N[:limit])

    def test_the_first_few_have_every_genre(self, store):
        assert set(store.read_images("train", 32)[1]) == {0, 1, 2}

    def test_unknown_split(self, store):
        with pytest.raises(StoreError, match="has the splits train, val, test, got 'dev'"):
            store.count("dev")

    def test_can_be_sent_to_another_process(self, store):
        assert pickle.loads(pickle.dumps(store)) == store


class TestOpen:
    def test_missing_folder(self, tmp_path):
        missing = tmp_path / "nowhere"
        assert _error(missing) == (
            f"no cover store at {missing}: there is no such folder; "
            f"make one with `covertune data prepare SRC {missing}`"
        )

    def test_no_store(self, tmp_path):
        assert _error(tmp_path) == (
            f"a cover store is a folder with a covers.json, {tmp_path} has none; "
            f"make a store of it with `covertune data prepare {tmp_path} OUT`"
        )

    def test_a_file(self, tmp_path):
        (tmp_path / "file").touch()
        assert "a cover store is a folder with a covers.json" in _error(tmp_path / "file")

    def test_other_version(self, copy):
        manifest = json.loads((copy / "covers.json").read_text())
        manifest |= {"schema_version": 9, "new": "field"}
        (copy / "covers.json").write_text(json.dumps(manifest))
        assert _error(copy) == (
            f"this covertune reads stores of schema version 2, {copy} has version 9; "
            "prepare it again, or use the covertune that made it"
        )

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\udce9"])
    def test_unreadable_manifest(self, copy, text):
        (copy / "covers.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        expected = f"the store {copy} is damaged: covers.json is not a store's manifest; prepare it"
        assert expected in _error(copy)

    def test_manifest_with_a_bad_field(self, copy):
        manifest = json.loads((copy / "covers.json").read_text())
        del manifest["fingerprint"]
        manifest["parts"][0]["rows"] = -1
        (copy / "covers.json").write_text(json.dumps(manifest))
        assert _error(copy).endswith(
            "is damaged: covers.json: fingerprint: field required; parts.0.rows: input should be "
            "greater than or equal to 1, got -1; prepare it again"
        )

    def test_missing_part(self, copy):
        (copy / "part-00001.parquet").unlink()
        assert "is damaged: part-00001.parquet is missing; prepare it again" in _error(copy)

    def test_cut_part(self, copy):
        part = copy / "part-00001.parquet"
        size = part.stat().st_size
        part.write_bytes(part.read_bytes()[:100])
        assert f"part-00001.parquet has 100 bytes instead of {size}" in _error(copy)

    def test_part_that_is_out_of_reach(self, copy):
        store = CoverStore.open(copy)
        (copy / "part-00000.parquet").unlink()
        message = r"^every node must reach the store's folder, .* cannot find .*part-00000\.parquet"
        with pytest.raises(StoreError, match=message):
            store.read_images("train")

    def test_part_that_is_no_parquet(self, copy):
        part = copy / "part-00000.parquet"
        part.write_bytes(bytes(part.stat().st_size))
        with pytest.raises(StoreError, match=r"is damaged: part-00000\.parquet: .*; prepare it"):
            CoverStore.open(copy).read_images("train")

    def test_part_that_has_changed_at_the_same_size(self, copy):
        """A bit of a label, which is as good a label as the one before."""
        part = copy / "part-00001.parquet"
        content = bytearray(part.read_bytes())
        column = pq.ParquetFile(part).metadata.row_group(0).column(3)
        assert column.path_in_schema == "label"
        content[column.data_page_offset + column.total_compressed_size - 8] ^= 1
        part.write_bytes(content)
        store = CoverStore.open(copy)
        expected = r"is damaged: part-00001\.parquet: .*CRC checksum"
        with pytest.raises(StoreError, match=expected) as told:
            store.read_images("val")
        assert "\n" not in str(told.value)
        with pytest.raises(StoreError, match=expected):
            store.read_columns(["label"])

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            (
                {"compression": "zstd", "use_dictionary": False},
                r"its \w+ is packed \(zstd, up to",
            ),
            (
                {"compression": "none", "use_dictionary": ["image"]},
                r"its image is packed \(uncompressed, up to 3,[0-9,]+ bytes\), which no store's is",
            ),
        ],
    )
    def test_part_that_unpacks_to_more_than_memory(self, copy, how, message):
        """A hundred covers that are all the same 24 MB of nothing."""
        name = "part-00001.parquet"
        covers = pq.read_table(copy / name)
        nothing = pa.array([bytes(24 * 2**20)], pa.binary())
        dictionary = pa.DictionaryArray.from_arrays(pa.array([0] * len(covers), pa.int8()), nothing)
        place = covers.schema.get_field_index("image")
        bomb = covers.set_column(place, "image", dictionary)
        if how["compression"] == "zstd":  # a few are enough: it is told by how they are packed
            bomb = bomb.slice(0, 2)
        bomb = pa.concat_tables([bomb] * 2)
        pq.write_table(bomb, copy / name, **how)
        assert (copy / name).stat().st_size < 30 * 2**20
        manifest = json.loads((copy / "covers.json").read_text())
        manifest["parts"][1]["bytes"] = (copy / name).stat().st_size
        (copy / "covers.json").write_text(json.dumps(manifest))
        with pytest.raises(StoreError, match=message):
            CoverStore.open(copy).read_images("val")

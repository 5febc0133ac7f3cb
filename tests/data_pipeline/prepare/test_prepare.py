import json
import shutil
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image

from covertune.data_pipeline import (
    CapacityError,
    CoverStore,
    PrepareSettings,
    SourceError,
    StoreError,
    prepare_store,
    ray_tasks,
)
from covertune.data_pipeline.prepare import _normalising, _writing
from covertune.data_pipeline.store.schema import COVER_SCHEMA
from covertune.vocabulary import SPLITS

pytestmark = pytest.mark.usefixtures("local_ray")


def _covers(path):
    return pa.concat_tables([pq.read_table(part) for part in sorted(path.glob("part-*.parquet"))])


def _rejected(path):
    rows = pq.read_table(path / "rejected.parquet").to_pylist()
    return {row["source"]: (row["genre"], row["reason"], row["detail"]) for row in rows}


@pytest.fixture
def source(tmp_path, make_folder):
    return make_folder(tmp_path / "source", {"Poetry": 10, "Art": 7, "Travel": 3})


class TestStore:
    def test_summary(self, source, tmp_path):
        calls = []
        summary = prepare_store(
            source, tmp_path / "store", progress=lambda done, total: calls.append((done, total))
        )
        assert (summary.found, summary.kept, summary.rejected) == (20, 20, 0)
        assert summary.counts == {
            "Art": {"train": 5, "val": 1, "test": 1},
            "Poetry": {"train": 7, "val": 2, "test": 1},
            "Travel": {"train": 1, "val": 1, "test": 1},
        }
        assert summary.path == tmp_path / "store"
        assert calls[0] == (0, 20)
        assert calls[-1] == (20, 20)
        assert calls == sorted(calls)

    def test_content(self, source, tmp_path):
        prepare_store(source, tmp_path / "store")
        covers = _covers(tmp_path / "store")
        assert covers.schema.equals(COVER_SCHEMA)
        genres = ["Art", "Poetry", "Travel"]
        for row in covers.to_pylist():
            assert row["image"] == (source / row["source"]).read_bytes()
            assert row["source"].split("/")[0] == row["genre"] == genres[row["label"]]
            assert (row["width"], row["height"]) == (48, 64)
        assert len(set(covers["cover_id"].to_pylist())) == 20

    def test_a_part_has_covers_of_one_split_in_mixed_order(self, source, tmp_path):
        prepare_store(source, tmp_path / "store")
        splits, last = [], []
        for part in sorted((tmp_path / "store").glob("part-*.parquet")):
            table = pq.read_table(part)
            assert len(set(table["split"].to_pylist())) == 1
            splits.append(table["split"][0].as_py())
            ids = table["cover_id"].to_pylist()
            assert ids == sorted(ids)
            last.append(ids)
        assert splits == list(SPLITS)

    def test_nothing_but_the_store_is_left(self, source, tmp_path):
        prepare_store(source, tmp_path / "store")
        assert {entry.name for entry in tmp_path.iterdir()} == {"source", "store"}
        names = {entry.name for entry in (tmp_path / "store").iterdir()}
        parts = {f"part-0000{number}.parquet" for number in range(3)}
        assert names == {"covers.json", "rejected.parquet"} | parts

    def test_manifest_is_the_summary_and_more(self, source, tmp_path):
        settings = PrepareSettings(max_px=32, seed=5)
        summary = prepare_store(source, tmp_path / "store", settings=settings)
        manifest = json.loads((tmp_path / "store" / "covers.json").read_text())
        assert manifest["fingerprint"] == summary.fingerprint
        assert manifest["settings"]["max_px"] == 32
        assert manifest["source"] == str(source)
        assert _covers(tmp_path / "store")["width"].to_pylist() == [32] * 20

    def test_table_source(self, source, tmp_path):
        lines = [f"{p.relative_to(source)},{p.parent.name}\n" for p in source.rglob("*.jpg")]
        (source / "covers.csv").write_text("".join(["path,genre\n", *lines]))
        by_table = prepare_store(source / "covers.csv", tmp_path / "by_table")
        by_folder = prepare_store(source, tmp_path / "by_folder")
        assert by_table.fingerprint == by_folder.fingerprint

    def test_many_parts(self, source, tmp_path, monkeypatch):
        monkeypatch.setattr(_writing, "_PART_ROWS", 3)
        prepare_store(source, tmp_path / "by_rows")
        monkeypatch.setattr(_writing, "_PART_BYTES", 1500)
        prepare_store(source, tmp_path / "by_bytes")
        rows = [part.rows for part in CoverStore.open(tmp_path / "by_rows").manifest.parts]
        assert rows == [3, 3, 3, 3, 1, 3, 1, 3]
        for part in CoverStore.open(tmp_path / "by_bytes").manifest.parts:
            images = pq.read_table(tmp_path / "by_bytes" / part.name)["image"].to_pylist()
            assert len(images) == 1 or sum(map(len, images)) <= 1500
        assert _covers(tmp_path / "by_rows").equals(_covers(tmp_path / "by_bytes"))


class TestDeterminism:
    def test_place_and_parallelism_do_not_matter(self, source, tmp_path, monkeypatch):
        prepare_store(source, tmp_path / "a")
        moved = shutil.copytree(source, tmp_path / "elsewhere" / "covers")
        monkeypatch.setattr(_normalising, "_LARGEST_BLOCK", 1)
        prepare_store(moved, tmp_path / "b")
        for name in ("part-00000.parquet", "part-00001.parquet", "rejected.parquet"):
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        fingerprints = {CoverStore.open(tmp_path / name).fingerprint for name in "ab"}
        assert len(fingerprints) == 1

    @pytest.mark.parametrize("change", ["seed", "max_px", "cover", "genre"])
    def test_fingerprint_tells_stores_apart(self, source, tmp_path, make_cover, change):
        before = prepare_store(source, tmp_path / "before")
        settings = PrepareSettings()
        if change == "seed":
            settings = PrepareSettings(seed=1)
        elif change == "max_px":
            settings = PrepareSettings(max_px=64)
        elif change == "cover":
            (source / "Poetry" / "0.jpg").write_bytes(make_cover(999))
        else:
            (source / "Poetry").rename(source / "Verse")
        after = prepare_store(source, tmp_path / "after", settings=settings)
        assert after.fingerprint != before.fingerprint


class TestRefused:
    def test_bad_files_do_not_stop_it(self, source, tmp_path, make_cover):
        whole = make_cover(500)
        (source / "Poetry" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
        (source / "Poetry" / "text.jpg").write_text("no picture")
        (source / "Poetry" / "empty.jpg").touch()
        (source / "Art" / "list.txt").touch()
        summary = prepare_store(source, tmp_path / "store")
        assert (summary.found, summary.kept, summary.rejected, summary.ignored) == (23, 20, 3, 1)
        assert summary.reasons == {"empty file": 1, "not an image": 1, "truncated image": 1}
        rejected = _rejected(tmp_path / "store")
        assert rejected["Poetry/cut.jpg"][:2] == ("Poetry", "truncated image")
        assert rejected["Poetry/text.jpg"][:2] == ("Poetry", "not an image")
        assert rejected["Poetry/empty.jpg"][:2] == ("Poetry", "empty file")

    def test_copies_are_kept_once(self, source, tmp_path):
        shutil.copy(source / "Poetry" / "3.jpg", source / "Poetry" / "20.jpg")
        summary = prepare_store(source, tmp_path / "store")
        assert (summary.kept, summary.reasons) == (20, {"copy of another cover": 1})
        assert _rejected(tmp_path / "store") == {
            "Poetry/20.jpg": ("Poetry", "copy of another cover", "of Poetry/3.jpg")
        }

    def test_a_picture_in_several_genres_is_refused_everywhere(self, source, tmp_path):
        shutil.copy(source / "Poetry" / "3.jpg", source / "Art" / "other.jpg")
        shutil.copy(source / "Poetry" / "3.jpg", source / "Poetry" / "copy.jpg")
        summary = prepare_store(source, tmp_path / "store")
        assert (summary.kept, summary.rejected) == (19, 3)
        why = ("same picture in several genres", "Art, Poetry")
        assert _rejected(tmp_path / "store") == {
            "Art/other.jpg": ("Art", *why),
            "Poetry/3.jpg": ("Poetry", *why),
            "Poetry/copy.jpg": ("Poetry", *why),
        }

    def test_near_copies_are_kept_once(self, source, tmp_path):
        with Image.open(source / "Poetry" / "3.jpg") as image:
            image.resize((96, 128), Image.Resampling.LANCZOS).save(source / "Poetry" / "big.jpg")
            image.save(source / "Art" / "other.jpg", quality=30)
        (source / "Poetry" / "4.jpg").rename(source / "Travel" / "4.jpg")
        with Image.open(source / "Travel" / "4.jpg") as image:
            image.convert("L").save(source / "Travel" / "grey.png")
        summary = prepare_store(source, tmp_path / "store")
        assert summary.reasons == {
            "same picture in several genres": 3,
            "near copy of another cover": 1,
        }
        assert (summary.pictures, summary.conflicting, summary.kept) == (20, 1, 19)
        assert summary.noise_ceiling == pytest.approx(20 / 21)
        assert _rejected(tmp_path / "store")["Travel/grey.png"] == (
            "Travel",
            "near copy of another cover",
            "of Travel/4.jpg",
        )
        exact = PrepareSettings(near_copies=False)
        assert prepare_store(source, tmp_path / "exact", settings=exact).kept == 23

    @pytest.mark.parametrize(
        ("conflicts", "kept", "groups", "ceiling"),
        [("drop", 19, 19, 1), ("first", 20, 20, 1), ("keep", 21, 20, 20 / 21)],
    )
    def test_conflicts(self, source, tmp_path, conflicts, kept, groups, ceiling):
        shutil.copy(source / "Poetry" / "3.jpg", source / "Art" / "other.jpg")
        settings = PrepareSettings(conflicts=conflicts)
        summary = prepare_store(source, tmp_path / "store", settings=settings)
        assert (summary.kept, summary.groups) == (kept, groups)
        assert summary.kept_ceiling == pytest.approx(ceiling)
        covers = _covers(tmp_path / "store").to_pylist()
        assert all(row["genres"] == [row["genre"]] for row in covers)
        of_genre = [row["genre"] for row in covers if row["source"].endswith(("y/3.jpg", "r.jpg"))]
        wanted = {"drop": [], "first": ["Art"], "keep": ["Art", "Poetry"]}
        assert sorted(of_genre) == wanted[conflicts]

    def test_one_cover_of_several_genres(self, source, tmp_path):
        for number in range(3, 7):
            shutil.copy(source / "Poetry" / f"{number}.jpg", source / "Art" / f"p{number}.jpg")
        settings = PrepareSettings(conflicts="multi")
        prepare_store(source, tmp_path / "store", settings=settings)
        rows = _covers(tmp_path / "store").to_pylist()
        several = [row for row in rows if len(row["genres"]) > 1]
        assert len(rows) == 20
        assert [row["genres"] for row in several] == [["Art", "Poetry"]] * 4
        assert all(row["genre"] in row["genres"] for row in rows)
        manifest = CoverStore.open(tmp_path / "store").manifest
        assert manifest.settings.conflicts == "multi"
        assert manifest.kept_ceiling == manifest.noise_ceiling == pytest.approx(20 / 24)

    def test_placeholders(self, source, tmp_path):
        Image.new("RGB", (60, 90), "white").save(source / "Art" / "white.png")
        for number in range(10):
            shutil.copy(source / "Art" / "0.jpg", source / "Poetry" / f"none{number}.jpg")
        summary = prepare_store(source, tmp_path / "store")
        assert summary.reasons == {"placeholder": 11, "nearly blank": 1}
        why = _rejected(tmp_path / "store")["Art/0.jpg"]
        assert why == ("Art", "placeholder", "one picture 10 times in one genre")

    def test_keys_and_the_official_split_of_a_table(self, source, tmp_path):
        lines = ["path,genre,part,isbn"]
        for genre, covers in (("Poetry", 10), ("Art", 7)):
            for number in range(covers):
                part = "test" if number < 2 else "train"
                isbn = {6: "9780306406157"}.get(number, "")  # the same book, listed twice
                lines.append(f"{genre}/{number}.jpg,{genre},{part},{isbn}")
        shutil.copy(source / "Poetry" / "0.jpg", source / "Art" / "copy.jpg")
        lines.append("Art/copy.jpg,Art,train,")
        (source / "covers.csv").write_text("\n".join(lines) + "\n")
        table = source / "covers.csv"
        summary = prepare_store(table, tmp_path / "store", split_column="part")
        assert summary.official_split
        assert summary.counts == {
            "Art": {"train": 4, "val": 1, "test": 2},
            "Poetry": {"train": 7, "val": 1, "test": 2},
        }
        assert summary.groups == 16
        assert _rejected(tmp_path / "store") == {
            "Art/copy.jpg": (
                "Art",
                "copy of a cover in the official test split",
                "of Poetry/0.jpg",
            )
        }
        for row in _covers(tmp_path / "store").to_pylist():
            assert (row["split"] == "test") == (row["source"][-5] in "01")

    def test_rows_of_a_table(self, source, tmp_path):
        rows = [(f"{p.relative_to(source)}", p.parent.name) for p in source.rglob("*.jpg")]
        rows += [("gone.jpg", "Art"), ("", "Art"), ("Art/0.jpg", "")]
        lines = [f"{path},{genre}\n" for path, genre in rows]
        (source / "covers.csv").write_text("".join(["path,genre\n", *lines]))
        summary = prepare_store(source / "covers.csv", tmp_path / "store")
        assert summary.reasons == {"file not found": 1, "no genre": 1, "no path": 1}
        assert summary.kept == 20

    def test_every_found_file_is_kept_or_refused_once(self, source, tmp_path):
        shutil.copy(source / "Poetry" / "3.jpg", source / "Art" / "other.jpg")
        (source / "Art" / "empty.jpg").touch()
        prepare_store(source, tmp_path / "store")
        kept = _covers(tmp_path / "store")["source"].to_pylist()
        rejected = pq.read_table(tmp_path / "store" / "rejected.parquet")["source"].to_pylist()
        found = [str(path.relative_to(source)) for path in source.rglob("*.jpg")]
        assert Counter(kept + rejected) == Counter(found)


class TestErrors:
    def _fails(self, error, match, *args, **kwargs):
        with pytest.raises(error, match=match) as caught:
            prepare_store(*args, **kwargs)
        assert "\n" not in str(caught.value)

    def test_genre_with_two_covers(self, source, tmp_path):
        (source / "Travel" / "0.jpg").write_text("no picture")
        shutil.copy(source / "Poetry" / "0.jpg", source / "Poetry" / "copy.jpg")
        self._fails(
            SourceError,
            r"a genre needs at least 3 groups of covers, so that each of train, val, test gets "
            r"one; Travel has 2 \(refused: 1 with 'not an image'\); add covers or leave the genre "
            r"out",
            source,
            tmp_path / "store",
        )
        assert [entry.name for entry in tmp_path.iterdir()] == ["source"]

    def test_official_split_without_test_covers_of_a_genre(self, source, tmp_path):
        lines = ["path,genre,part"]
        for path in sorted(source.rglob("*.jpg")):
            part = "test" if path.name == "0.jpg" and path.parent.name != "Art" else "train"
            lines.append(f"{path.relative_to(source)},{path.parent.name},{part}")
        (source / "covers.csv").write_text("\n".join(lines) + "\n")
        self._fails(
            SourceError,
            "with an official split a genre needs a group of covers in `test`, and two outside "
            "for `train` and `val`; Art has 0 of 7 groups in `test`; leave the genre",
            source / "covers.csv",
            tmp_path / "store",
            split_column="part",
        )

    def test_all_poor_genres_are_named(self, source, tmp_path):
        settings = PrepareSettings(min_covers=8)
        self._fails(
            SourceError, "Art has 7, Travel has 3;", source, tmp_path / "s", settings=settings
        )

    def test_missing_source(self, tmp_path):
        self._fails(SourceError, "no covers at", tmp_path / "nowhere", tmp_path / "store")
        assert list(tmp_path.iterdir()) == []

    def test_one_genre(self, tmp_path, make_folder):
        source = make_folder(tmp_path / "source", {"Poetry": 3})
        self._fails(SourceError, "at least 2 genres", source, tmp_path / "store")

    def test_existing_out(self, source):
        self._fails(StoreError, "exists already", source, source)

    def test_unwritable_out(self, source):
        (source.parent / "file").touch()
        self._fails(StoreError, "cannot write the store", source, source.parent / "file" / "out")

    def test_full_disk_in_a_worker(self, source, tmp_path, monkeypatch):
        # Runs the real task in a real worker, on a spool that is no folder any more.
        def without_spool(sources, spool, *args, **kwargs):
            spool.rmdir()
            return _normalising.normalise_sources(sources, spool, *args, **kwargs)

        monkeypatch.setattr(
            "covertune.data_pipeline.prepare._prepare.normalise_sources", without_spool
        )
        self._fails(
            StoreError,
            "cannot write the store .*: No such file or directory; choose",
            source,
            tmp_path / "store",
        )
        assert [entry.name for entry in tmp_path.iterdir()] == ["source"]

    def test_interrupt_leaves_nothing(self, source, tmp_path):
        def interrupt(done, total):
            if done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare_store(source, tmp_path / "store", progress=interrupt)
        assert [entry.name for entry in tmp_path.iterdir()] == ["source"]

    def test_no_free_cpu(self, source, tmp_path, monkeypatch):
        monkeypatch.setattr(ray_tasks, "_FREE_CPU_WAIT_S", 1.0)
        holder = ray.util.placement_group([{"CPU": 2}])
        ray.get(holder.ready())
        try:
            self._fails(
                CapacityError,
                "preparing covers needs a free CPU, all 2 of Ray's are taken; wait for",
                source,
                tmp_path / "store",
            )
        finally:
            ray.util.remove_placement_group(holder)


def test_prints_nothing(source, tmp_path, capfd):
    prepare_store(source, tmp_path / "store")
    assert capfd.readouterr() == ("", "")

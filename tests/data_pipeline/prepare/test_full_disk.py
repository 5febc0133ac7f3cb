"""A prepare on a full disk; killed ones are in `tests/chaos/test_prepare_killed.py`."""

import numpy as np
import pytest
from PIL import Image

from covertune.data_pipeline import StoreError, prepare_store

DISK_MB = 2


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("covers", [32, 12], ids=["workers fill it", "parts fill it"])
def test_a_full_disk_is_one_clear_error(small_disk, tmp_path, covers):
    for number in range(covers):
        path = tmp_path / "source" / "AB"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)  # about 110 kB in the store
    message = rf"^cannot write the store {small_disk}/store: .*No space left on device.*; choose a"
    with pytest.raises(StoreError, match=message) as caught:
        prepare_store(tmp_path / "source", small_disk / "store")
    assert "\n" not in str(caught.value)
    assert list(small_disk.iterdir()) == []

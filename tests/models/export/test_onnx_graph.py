import json
import os
import subprocess
import sys

import onnxruntime
import pytest
import torch
from torch import nn

from covertune.models import GraphError
from covertune.models.export.onnx_graph import check_graph, write_graph
from covertune.models.export.trial_run import why_no_graph


class Unwritable(nn.Module):
    """What depends on the values of a cover is no graph."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(3, 4)

    def forward(self, pixel_values):
        means = pixel_values.mean(dim=(2, 3))
        return self.classifier(means * (2 if float(means.sum()) > 0 else 1))


def test_it_says_what_it_takes_and_tells(tmp_path, save, small_cnn, genres):
    save(tmp_path / "model", model=small_cnn)
    session = onnxruntime.InferenceSession(tmp_path / "model" / "model.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["label_names"]) == genres
    prepared = json.loads(metadata["preprocessing"])
    assert (prepared["size"], prepared["resize"]) == ([32, 32], "squash")
    assert metadata["backbone"] == "small_cnn"
    assert metadata["covertune"]


def test_it_tells_nothing_about_this_machine(tmp_path, save, small_cnn):
    save(tmp_path / "model", model=small_cnn)
    content = (tmp_path / "model" / "model.onnx").read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_what_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(GraphError, match="torch cannot write this model as ONNX: ") as caught:
        write_graph(Unwritable(), 32, tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    reason = why_no_graph(Unwritable(), 32, torch.rand(2, 3, 32, 32))
    assert reason.startswith("torch cannot write this model as ONNX: ")


def test_what_can_be_written_has_no_reason_not_to(small_cnn):
    assert why_no_graph(small_cnn, 32, torch.rand(2, 3, 32, 32)) is None


def test_a_graph_of_another_model(tmp_path, small_cnn):
    write_graph(small_cnn, 32, tmp_path / "model.onnx")
    other = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    with pytest.raises(GraphError, match=r"within 0.0001, it is .* off"):
        check_graph(tmp_path / "model.onnx", other, torch.rand(2, 3, 32, 32))
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(GraphError, match="the ONNX graph does not run: "):
        check_graph(tmp_path / "model.onnx", other, torch.rand(2, 3, 32, 32))


def test_checking_a_graph_leaves_nothing_in_the_home_folder(tmp_path):
    """onnxruntime 1.32 would, as it is imported: an id to tell its makers of what is run."""
    code = (
        "import contextlib\n"
        "from covertune.models.export.onnx_graph import check_graph\n"
        "with contextlib.suppress(AttributeError):\n"
        "    check_graph(None, None, None)\n"
    )
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code], env=environment | home, check=True)
    assert list(tmp_path.rglob("*")) == []

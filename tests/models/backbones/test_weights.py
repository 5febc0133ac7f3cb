import dataclasses
import hashlib
import http.server
import io
import pathlib
import threading
import urllib.request

import pytest
import safetensors.torch
import torch

from covertune.models import WeightsError, get_backbone
from covertune.models.backbones import _weights
from covertune.models.backbones._weights import HubFile, read_state_dict
from covertune.models.backbones.heads import head_of


class Hub(http.server.ThreadingHTTPServer):
    """A weights hub on this machine: path to answer, and what was asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = {}
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if "silent" in self.path:
            self.server.released.wait(10)
            return
        half = len(content) // 2 if "half" in self.path else len(content)
        self.wfile.write(content[:half])

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Stands for every hub: only the host in a URL is changed."""
    server = Hub()
    server.released = threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    real = urllib.request.urlopen

    def redirected(request, timeout):
        assert timeout <= 30, "no download may hang"
        path = request.full_url.split("/", 3)[3]
        return real(f"{server.url}/{path}", timeout=timeout)

    monkeypatch.setattr(urllib.request, "urlopen", redirected)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def saved(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def resnet_state():
    torch.manual_seed(3)
    return get_backbone("resnet18").architecture(224).state_dict()


def test_fetched_checked_and_kept(hub, tmp_path):
    content = saved({"a": torch.ones(1)})
    digest = hashlib.sha256(content).hexdigest()
    hub.files["/w.pth"] = content
    file = HubFile("resnet18", "https://hub.example/w.pth", "w.pth", digest[:8])
    assert file.path() == tmp_path / "hub/checkpoints/w.pth"
    assert file.path().read_bytes() == content
    assert hub.asked == ["/w.pth"], "fetched once"


def test_torchvision_weights_are_loaded_and_the_head_is_fresh(hub):
    state = resnet_state()
    content = saved(state)
    hub.files["/models/resnet18-f37072fd.pth"] = content
    with pytest.raises(WeightsError, match="must have a SHA-256 starting with f37072fd"):
        get_backbone("resnet18").build(5)
    url = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    HubFile("resnet18", url, "resnet18-f37072fd.pth").path()
    model = get_backbone("resnet18").build(5)
    assert torch.equal(model.layer3[0].conv1.weight, state["layer3.0.conv1.weight"])
    assert head_of(model).weight.shape == (5, 512)


def test_timm_weights_come_from_the_hugging_face_hub(hub):
    name = "timm/resnet18.a1_in1k"
    state = get_backbone(name).architecture(224).state_dict()
    hub.files["/timm/resnet18.a1_in1k/resolve/main/model.safetensors"] = safetensors.torch.save(
        state
    )
    model = get_backbone(name).build(5)
    assert torch.equal(model.layer3[0].conv1.weight, state["layer3.0.conv1.weight"])


def test_a_hub_without_the_file(hub, tmp_path):
    with pytest.raises(WeightsError) as caught:
        get_backbone("resnet18").build(5)
    assert str(caught.value) == (
        "cannot fetch the weights of resnet18: the hub answered 404 Not Found; "
        "put https://download.pytorch.org/models/resnet18-f37072fd.pth at "
        f"{tmp_path}/hub/checkpoints/resnet18-f37072fd.pth or give the file with "
        "--weights resnet18=FILE (or weights 'none' to train from scratch)"
    )


def test_a_hub_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = HubFile("resnet18", "http://127.0.0.1:9/w.pth", "w.pth")
    with pytest.raises(WeightsError, match=r"\[Errno 111\] Connection refused; put http"):
        file.path()
    assert not list(tmp_path.rglob("*w.pth*"))


def test_a_hub_that_falls_silent(hub, monkeypatch):
    monkeypatch.setattr(_weights, "TIMEOUT_S", 0.2)
    hub.files["/silent.pth"] = b"x" * 100
    with pytest.raises(WeightsError, match="timed out; put"):
        HubFile("resnet18", "https://hub.example/silent.pth", "silent.pth").path()


def test_a_hub_that_stops_half_way(hub, tmp_path):
    hub.files["/half.pth"] = b"x" * 100
    with pytest.raises(WeightsError, match="must have 100 bytes, the hub sent 50 and stopped"):
        HubFile("resnet18", "https://hub.example/half.pth", "half.pth").path()
    assert list((tmp_path / "hub/checkpoints").iterdir()) == []


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_local_file(tmp_path, suffix):
    state = resnet_state()
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(saved(state) if suffix == ".pth" else safetensors.torch.save(state))
    model = get_backbone("resnet18").build(5, weights=str(path))
    assert torch.equal(model.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])


def test_a_file_of_other_genres_gives_all_but_its_head(tmp_path):
    torch.manual_seed(4)
    other = get_backbone("resnet18").build(30, weights="none")
    torch.save({"state_dict": other.state_dict()}, tmp_path / "tuned.pth")
    model = get_backbone("resnet18").build(5, weights=str(tmp_path / "tuned.pth"))
    assert torch.equal(model.layer4[1].conv2.weight, other.layer4[1].conv2.weight)
    assert head_of(model).weight.shape == (5, 512)


def test_a_file_of_another_backbone(tmp_path):
    torch.save(resnet_state(), tmp_path / "resnet18.pth")
    with pytest.raises(WeightsError) as caught:
        get_backbone("resnet34").build(5, weights=str(tmp_path / "resnet18.pth"))
    assert str(caught.value).startswith(
        f"weights must fit ResNet; {tmp_path}/resnet18.pth does not: layer1.2.conv1.weight is "
        "missing; layer1.2.bn1.weight is missing; layer1.2.bn1.bias is missing and "
    )
    assert "\n" not in str(caught.value)


def test_tensors_of_another_shape(tmp_path):
    state = resnet_state() | {"conv1.weight": torch.zeros(64, 1, 7, 7)}
    torch.save(state, tmp_path / "grey.pth")
    with pytest.raises(WeightsError, match=r"conv1.weight must be \(64, 3, 7, 7\), got \(64, 1, 7"):
        get_backbone("resnet18").build(5, weights=str(tmp_path / "grey.pth"))


def test_code_is_not_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "exploded",))

    torch.save({"conv1.weight": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(WeightsError, match=r"cannot read weights from .*bomb\.pth"):
        read_state_dict(tmp_path / "bomb.pth")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "text", ["<html>not found</html>", "root:x:0:0:root:/root:/bin/bash\n", ""]
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_that_is_no_weights(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(WeightsError, match="cannot read weights from") as caught:
        read_state_dict(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_whole_training_state(tmp_path):
    torch.save({"epoch": 3, "optimizer": {}}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="must hold a state dict, named tensors only"):
        read_state_dict(tmp_path / "w.pth")


def test_a_file_that_is_not_there():
    with pytest.raises(
        WeightsError, match="'default', 'none' or a file, got 'defualt' for resnet18"
    ):
        get_backbone("resnet18").build(5, weights="defualt")  # codespell:ignore defualt


def test_no_published_weights(monkeypatch):
    """Never a training from scratch that nobody asked for."""
    backbone = dataclasses.replace(
        get_backbone("timm/resnet18"), pretrained=False, default_weights=None
    )
    with pytest.raises(
        WeightsError, match=r"resnet18 has no published weights; give a file .*none'"
    ):
        backbone.build(3)
    backbone.build(3, weights="none")
    get_backbone("small_cnn").build(3)  # whose default is to be trained from scratch


def test_old_densenet_names(tmp_path):
    model = get_backbone("densenet121").architecture(224)
    old = {
        n.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): t
        for n, t in model.state_dict().items()
        if not n.endswith("num_batches_tracked")
    }
    assert old.keys() != model.state_dict().keys()
    torch.save(old, tmp_path / "old.pth")
    loaded = get_backbone("densenet121").build(3, weights=str(tmp_path / "old.pth"))
    name = "features.denseblock2.denselayer3.conv2.weight"
    assert torch.equal(loaded.state_dict()[name], model.state_dict()[name])


def test_auxiliary_classifiers_are_left_out(tmp_path):
    from torchvision.models import googlenet

    whole = googlenet(weights=None, aux_logits=True, init_weights=False)
    torch.save(whole.state_dict(), tmp_path / "google.pth")
    loaded = get_backbone("googlenet").build(3, weights=str(tmp_path / "google.pth"))
    assert torch.equal(
        loaded.inception4a.branch1.conv.weight, whole.inception4a.branch1.conv.weight
    )


@pytest.mark.parametrize(
    ("name", "table"),
    [("vit_b_32", "encoder.pos_embedding"), ("timm/vit_tiny_patch16_224", "pos_embed")],
)
def test_position_tables_are_resized(tmp_path, name, table):
    backbone = get_backbone(name)
    state = backbone.architecture(224).state_dict()
    state[table] = torch.randn_like(state[table])
    torch.save(state, tmp_path / "vit.pth")
    model = backbone.build(3, image_px=128, weights=str(tmp_path / "vit.pth"))
    resized = model.state_dict()[table]
    assert resized.shape[1] < state[table].shape[1]
    torch.testing.assert_close(resized[:, 0], state[table][:, 0])
    assert 0.1 < resized[:, 1:].std() < 1.5

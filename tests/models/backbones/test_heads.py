import pytest
import torch
from torch import nn

from covertune.models import HeadWeights, ModelError, get_backbone, load_head
from covertune.models.backbones.heads import GenreHead, head_of, replace_head


def test_names_in_the_state_dict_stay_those_of_the_library():
    model = get_backbone("resnet18").build(7, weights="none")
    assert {n: tuple(t.shape) for n, t in model.state_dict().items() if n.startswith("fc")} == {
        "fc.weight": (7, 512),
        "fc.bias": (7,),
    }
    assert head_of(model) is model.fc


def test_dropout_before_the_head_is_the_heads_own():
    model = get_backbone("mobilenet_v3_small").build(3, weights="none", drop_rate=0.3)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.0]
    assert head_of(model).drop_rate == 0.3


def test_dropout_only_in_training():
    head = GenreHead(100, 2, drop_rate=0.5)
    features = torch.ones(4, 100)
    assert not torch.equal(head(features), head(features))
    head.eval()
    assert torch.equal(head(features), head(features))


def test_squeezenet_gets_a_linear_head_without_relu():
    model = get_backbone("squeezenet1_1").build(5, weights="none").eval()
    head = head_of(model)
    with torch.no_grad():
        head.bias.fill_(-100.0)
        assert model(torch.zeros(2, 3, 64, 64)).max() < 0


def test_no_classifier():
    with pytest.raises(ModelError, match="no linear classifier found in Sequential"):
        replace_head(nn.Sequential(nn.ReLU()), 3)


def test_no_genre_head():
    with pytest.raises(ModelError, match="no genre head in Linear"):
        head_of(nn.Linear(2, 2))


def test_load_head_copies_what_the_probe_found():
    model = get_backbone("small_cnn").build(3)
    load_head(model, HeadWeights(torch.full((3, 256), 2.0), torch.arange(3.0)))
    assert head_of(model).weight.unique().tolist() == [2.0]
    assert head_of(model).bias.tolist() == [0.0, 1.0, 2.0]


def test_load_head_of_another_backbone():
    model = get_backbone("small_cnn").build(3)
    with pytest.raises(ModelError, match=r"\(genres, features\) = \(3, 256\), got \(3, 99\)"):
        load_head(model, HeadWeights(torch.zeros(3, 99), torch.zeros(3)))

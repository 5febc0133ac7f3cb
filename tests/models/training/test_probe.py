import pytest
import torch

from covertune.models import (
    Features,
    InputSpec,
    ModelError,
    extract_features,
    fit_probe,
    get_backbone,
    load_head,
)
from covertune.models.backbones.heads import head_of
from covertune.models.training import probe

CPU = torch.device("cpu")


def clusters(n, seed, spread=1.0, K=3, D=20):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(K, D, generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) % K
    scales = torch.logspace(-2, 2, D)  # features of very different sizes
    X = (centres[y] + spread * torch.randn(n, D, generator=generator)) * scales + 5
    return Features(X, y)


def test_finds_what_is_there():
    found = fit_probe(clusters(300, 1), clusters(150, 2), 3)
    assert found.val_metrics.top1 > 0.9
    assert found.val_metrics.top3 == 1.0
    assert found.head.weight_KD.shape == (3, 20)


def test_the_head_takes_raw_features():
    X, y, _ = clusters(150, 2)
    found = fit_probe(clusters(300, 1), Features(X, y), 3)
    logits = X @ found.head.weight_KD.T + found.head.bias_K
    assert float((logits.argmax(dim=1) == y).float().mean()) == pytest.approx(
        found.val_metrics.top1
    )
    loss = torch.nn.functional.cross_entropy(logits, y)
    assert float(loss) == pytest.approx(found.val_loss, rel=1e-3)


def test_the_minimum_is_a_minimum():
    """At the optimum the gradient of the penalised loss vanishes."""
    X, y, _ = clusters(300, 1)
    found = fit_probe(Features(X, y), clusters(150, 2), 3, l2_grid=(0.1,))
    std, mean = X.std(dim=0, correction=0), X.mean(dim=0)
    Z = ((X - mean) / std).double()
    W = (found.head.weight_KD * std).double().requires_grad_()
    b = (found.head.bias_K + found.head.weight_KD @ mean).double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(Z @ W.T + b, y) + 0.05 * W.square().sum()
    loss.backward()
    assert W.grad.abs().max() < 2e-3
    assert b.grad.abs().max() < 2e-3


def test_noise_wants_a_strong_penalty():
    noisy = fit_probe(clusters(120, 1, spread=8), clusters(120, 2, spread=8), 3)
    clean = fit_probe(clusters(300, 1, spread=0.5), clusters(150, 2, spread=0.5), 3)
    assert noisy.l2 > clean.l2


def test_a_dead_feature_does_no_harm():
    X, y, _ = clusters(300, 1)
    V, v, _ = clusters(150, 2)
    X[:, 0], V[:, 0] = 3.0, 3.0
    assert fit_probe(Features(X, y), Features(V, v), 3).val_metrics.top1 > 0.9


def test_what_cannot_be_fitted():
    X, y, _ = clusters(30, 1)
    with pytest.raises(ModelError, match="needs training and validation covers, got 30 and 0"):
        fit_probe(Features(X, y), Features(X[:0], y[:0]), 3)
    broken = X.clone()
    broken[3, 3] = float("nan")
    for train_X, val_X in ((broken, X), (X, broken)):
        with pytest.raises(ModelError, match="features must be finite"):
            fit_probe(Features(train_X, y), Features(val_X, y), 3)


def test_the_callers_features_stay_as_they_are():
    X, y, _ = clusters(60, 1)
    V, v, _ = clusters(30, 2)
    before = X.clone(), V.clone()
    fit_probe(Features(X, y), Features(V, v), 3, l2_grid=(0.1,))
    assert torch.equal(X, before[0])
    assert torch.equal(V, before[1])


def test_a_fit_that_is_not_finite_is_passed_over(monkeypatch):
    """The next penalty starts afresh, not from the broken weights."""
    covers = clusters(60, 1)
    minimise = probe._minimise

    def spoilt(weight, bias, Z, labels, l2):
        minimise(weight, bias, Z, labels, l2)
        if l2 == 1.0:
            with torch.no_grad():
                weight.fill_(float("nan"))

    monkeypatch.setattr(probe, "_minimise", spoilt)
    assert fit_probe(covers, covers, 3, l2_grid=(1.0, 0.1)).l2 == 0.1
    with pytest.raises(ModelError, match=r"must be finite, it is with none of .* \[1\.0\]"):
        fit_probe(covers, covers, 3, l2_grid=(1.0,))


def test_features_are_what_the_head_is_given(train):
    backbone = get_backbone("resnet18")
    model = backbone.build(4, image_px=32, weights="none")
    spec = backbone.input.at(32)
    features, labels, _ = extract_features(model, train, CPU, input_spec=spec)
    assert features.shape == (96, 512)
    assert features.dtype == torch.float32
    assert torch.equal(labels, train.labels_N)
    with torch.inference_mode():
        wanted = model(spec.normalise(train.images_NHWC[:16]))
    torch.testing.assert_close(head_of(model)(features[:16]), wanted, atol=0.1, rtol=0.1)
    assert not head_of(model)._forward_pre_hooks


def test_probe_then_head_beats_chance_on_an_untrained_backbone(train, val):
    backbone = get_backbone("small_cnn")
    model = backbone.build(4, image_px=32)
    spec = InputSpec(32)
    found = fit_probe(
        extract_features(model, train, CPU, input_spec=spec),
        extract_features(model, val, CPU, input_spec=spec),
        4,
    )
    assert found.val_metrics.top1 > 0.8, "the covers' colours survive random features"
    load_head(model, found.head)
    with torch.inference_mode():
        told = model.eval()(spec.normalise(val.images_NHWC)).argmax(dim=1)
    assert float((told == val.labels_N).float().mean()) == pytest.approx(
        found.val_metrics.top1, abs=0.05
    )


def test_no_covers():
    model = get_backbone("small_cnn").build(4)
    with pytest.raises(ModelError, match="features need at least one cover"):
        extract_features(model, [], CPU, input_spec=InputSpec(32))

import pytest
import torch

from covertune.models.precision import choose_precision, without_tf32

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "inference"), [({"avx512_bf16": True}, torch.bfloat16), ({"avx2": True}, None)]
)
def test_auto_on_a_cpu_trusts_its_instructions(monkeypatch, flags, inference):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    found = choose_precision("auto", CPU)
    assert (found.training, found.inference) == (None, inference)


def test_a_torch_that_cannot_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision("auto", CPU).inference is None


def test_what_is_asked_for_is_done():
    assert choose_precision("float32", CPU).inference is None
    wide = choose_precision("bfloat16", CPU)
    layer = torch.nn.Linear(4, 4)
    with wide.autocast_training():
        assert layer(torch.zeros(1, 4)).dtype == torch.bfloat16
    with choose_precision("float32", CPU).autocast_inference():
        assert layer(torch.zeros(1, 4)).dtype == torch.float32


@pytest.mark.parametrize("allowed", [True, False])
def test_no_tf32_while_it_lasts(allowed):
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark, cudnn.deterministic
    cudnn.allow_tf32 = allowed
    try:
        with without_tf32():
            assert not cudnn.allow_tf32
        assert (cudnn.allow_tf32, *before[1:]) == (
            allowed,
            cudnn.enabled,
            cudnn.benchmark,
            cudnn.deterministic,
        )
    finally:
        cudnn.allow_tf32 = before[0]

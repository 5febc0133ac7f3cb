"""Fewer covers at a time. Memory runs out on real models, by a hook that refuses large batches."""

import gc
import os
import subprocess
import sys
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from covertune.batch import Batch
from covertune.models import FineTuner, OutOfMemory, extract_features, measure_model
from covertune.models.backbones.stages import stages
from covertune.models.micro_batches import MicroBatches, StepStatistics
from covertune.models.out_of_memory import is_out_of_memory

CPU = torch.device("cpu")
K = 4
CPU_REFUSAL = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
REFUSALS = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": RuntimeError(f"{CPU_REFUSAL}memory: you tried to allocate 134217728 bytes."),
    "oneDNN": RuntimeError("could not create a primitive"),
    "python": MemoryError(),
}
MIXED = {
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "label_smoothing": 0.1,
    "mixup_alpha": 0.2,
    "cutmix_alpha": 1.0,
    "augment_strength": 0.6,
    "ema_decay": 0.9,
    "precision": "float32",
}


def tuner(recipe, **options):
    return FineTuner(recipe, K, CPU, steps_per_epoch=6, **options)


class Room:
    """Memory for so many covers: a model inside it refuses more, in its last stage.

    There, the stages before have computed, and batch normalisation has moved its statistics.
    """

    def __init__(self, model, covers, refusal="gpu"):
        self.covers, self.refusal = covers, REFUSALS[refusal]
        self.seen = []
        stages(model)[-1].modules[0].register_forward_hook(self.look)

    def look(self, module, args, output):
        self.seen.append(len(output))
        if len(output) > self.covers:
            raise self.refusal.with_traceback(None)


def close(one, other, **tolerance):
    for name, tensor in one.items():
        torch.testing.assert_close(
            tensor, other[name], msg=lambda m, n=name: f"{n}: {m}", **tolerance
        )


def weights(learner):
    return {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}


class TestCutting:
    @given(st.integers(2, 200), st.integers(1, 200), st.sampled_from([1, 2]))
    def test_every_cover_once_and_no_part_too_large_or_too_small(self, covers, size, least):
        micro = MicroBatches(CPU, least=least)
        micro.size = max(size, least)
        parts = micro.cut(covers)
        assert [n for part in parts for n in range(part.start, part.stop)] == list(range(covers))
        sizes = [part.stop - part.start for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= least
        assert max(sizes) <= micro.size + (least == 2 and micro.size == 2)

    @settings(max_examples=15)  # each attempt collects garbage, which takes its time
    @given(st.integers(2, 200), st.integers(1, 200), st.sampled_from([1, 2]))
    def test_it_halves_until_it_fits_or_cannot(self, covers, room, least):
        micro = MicroBatches(CPU, least=least)
        tried = []

        def work(parts):
            tried.append(max(part.stop - part.start for part in parts))
            if tried[-1] > room:
                raise REFUSALS["gpu"]
            return "done"

        smallest_possible = least + (least == 2 and covers % 2)
        if room >= smallest_possible:
            assert micro.run(covers, work) == "done"
        else:
            with pytest.raises(OutOfMemory, match=f"out of memory with {smallest_possible} cover"):
                micro.run(covers, work)
        assert tried == sorted(set(tried), reverse=True)
        assert len(tried) <= 9

    def test_other_errors_are_not_tried_again(self):
        def work(parts):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            MicroBatches(CPU).run(8, work)

    def test_the_broken_off_work_is_let_go_before_the_next_attempt(self):
        """Its frames hold the maps of the step; with them, less memory would be free."""
        held = []

        def work(parts):
            assert [ref() for ref in held] == [None] * len(held)
            maps = torch.zeros(parts[0].stop)
            held.append(weakref.ref(maps))
            if len(maps) > 4:
                raise RuntimeError(f"{CPU_REFUSAL}memory")

        gc.disable()
        try:
            MicroBatches(CPU).run(32, work)
        finally:
            gc.enable()
        assert len(held) == 4


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_says_that_memory_ran_out(kind):
    assert is_out_of_memory(REFUSALS[kind])


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("out of luck"),
        ValueError("DefaultCPUAllocator: can't allocate memory"),
        torch.AcceleratorError("CUDA error: out of memory"),
    ],
)
def test_what_does_not(error):
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("more", [{}, MIXED], ids=["plain", "mixed and augmented"])
@pytest.mark.parametrize("refusal", ["gpu", "cpu"])
def test_gradients_add_up_to_those_of_the_whole_batch(change, train, more, refusal):
    recipe = change(**({"precision": "float32", "batch_norm": "frozen"} | more))
    whole, tight = tuner(recipe), tuner(recipe)
    room = Room(tight.model, 6, refusal)
    batch = next(iter(train))
    expected, got = whole.train_epoch([batch]), tight.train_epoch([batch])
    assert room.seen == [16, 8, 4, 4, 4, 4]
    assert tight.micro_batch == 4
    assert got.loss == pytest.approx(expected.loss, rel=1e-5)
    close(
        {n: p.grad for n, p in whole.model.named_parameters()},
        {n: p.grad for n, p in tight.model.named_parameters()},
        rtol=1e-4,
        atol=1e-6,
    )


def test_an_epoch_in_micro_batches_trains_as_in_whole_ones(change, train, val):
    """SGD: Adam's division makes rounding in tiny gradients large."""
    recipe = change(**MIXED | {"optimizer": "sgd", "batch_norm": "frozen", "drop_rate": 0.0})
    whole, tight = tuner(recipe), tuner(recipe)
    Room(tight.model, 6)
    expected, got = (one.run_epoch(train, val).progress for one in (whole, tight))
    assert (got.lr_head, got.lr_backbone) == (expected.lr_head, expected.lr_backbone)
    assert tight.step == whole.step == 6
    assert got.train_loss == pytest.approx(expected.train_loss, rel=1e-4)
    close(weights(whole), weights(tight), rtol=1e-3, atol=1e-5)
    close(whole.ema.module.state_dict(), tight.ema.module.state_dict(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
def test_nothing_of_a_broken_off_attempt_remains(change, train, batch_norm):
    """Running out and halving equals having known the size before, to the last bit."""
    recipe = change(**MIXED, batch_norm=batch_norm, drop_rate=0.3)
    surprised, knowing = tuner(recipe), tuner(recipe)
    room = Room(surprised.model, 4)
    knowing.load_state_dict(knowing.state_dict() | {"micro_batch": 4})
    surprised.train_epoch(train)
    knowing.train_epoch(train)
    assert room.seen == [16, 8] + [4] * 24, "the size is kept"
    assert all(torch.equal(t, knowing.model.state_dict()[n]) for n, t in weights(surprised).items())


def test_memory_that_runs_out_in_the_backward_pass(change, train):
    recipe = change(precision="float32", batch_norm="frozen", optimizer="sgd")
    whole, tight = tuner(recipe), tuner(recipe)

    def refuse(module, gradients_in, gradients_out):
        if len(gradients_out[0]) > 8:
            raise REFUSALS["gpu"]

    stages(tight.model)[1].modules[0].register_full_backward_hook(refuse)
    batch = next(iter(train))
    whole.train_epoch([batch])
    tight.train_epoch([batch])
    assert tight.micro_batch == 8
    close(weights(whole), weights(tight), rtol=1e-4, atol=1e-6)


def test_the_size_is_saved_and_taken_up(change, train, val, tmp_path):
    recipe = change(precision="float32")
    first = tuner(recipe)
    room = Room(first.model, 8)
    first.run_epoch(train, val)
    first.save(tmp_path / "state.pt")
    assert first.micro_batch == 8
    room.covers = 16  # room enough again; a trial does not go back and forth
    expected = first.run_epoch(train, val)
    resumed = tuner(recipe, load_weights=False)
    room = Room(resumed.model, 8)
    resumed.restore(tmp_path / "state.pt")
    assert resumed.run_epoch(train, val).progress.train_loss == expected.progress.train_loss
    assert max(room.seen) == 8, "nothing was tried that is known not to fit"


def test_a_state_from_before_micro_batches(recipe):
    state = tuner(recipe).state_dict()
    del state["micro_batch"], state["eval_micro_batch"]
    learner = tuner(recipe)
    learner.load_state_dict(state)
    assert learner.micro_batch is None


@pytest.mark.parametrize(("batch_norm", "covers"), [("frozen", "1 cover"), ("train", "2 covers")])
def test_not_even_the_fewest_fit(change, train, batch_norm, covers):
    learner = tuner(change(batch_norm=batch_norm))
    before = weights(learner)
    room = Room(learner.model, 0)
    with pytest.raises(OutOfMemory, match=f"out of memory with {covers} at a time: CUDA out of"):
        learner.train_epoch(train)
    assert room.seen == [16, 8, 4, 2, 1][: 5 if batch_norm == "frozen" else 4]
    assert learner.step == 0
    trained = {n for n, _ in learner.model.named_parameters()}
    assert all(torch.equal(before[n], weights(learner)[n]) for n in trained)


def test_an_odd_batch_leaves_no_lone_cover_to_batch_normalisation(change, train):
    learner = tuner(change())
    images, labels, _ = next(iter(train))
    room = Room(learner.model, 3)
    learner.train_epoch([Batch(images[:7], labels[:7])])
    assert room.seen == [7, 3, 4, 2, 2, 3]


def test_running_statistics_move_at_the_pace_of_the_recipe():
    """Four times the same covers: each micro-batch has the mean of the whole batch."""
    torch.manual_seed(0)
    quarter = torch.randn(8, 3, 4, 4) + 2
    whole, cut = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    whole(torch.cat([quarter] * 4))
    statistics = StepStatistics(cut)
    for _ in range(4):
        with statistics.scaled_momentum(0.25):
            cut(quarter)
    torch.testing.assert_close(cut.running_mean, whole.running_mean)
    torch.testing.assert_close(cut.running_var, whole.running_var, rtol=1e-2, atol=0)
    assert cut.momentum == whole.momentum


def test_evaluation_goes_on_with_fewer_covers(change, val):
    learner = tuner(change(precision="float32", ema_decay=0.9))
    expected = learner.evaluate(val)
    room = Room(learner.ema.module, 5)
    got = learner.evaluate(val)
    assert room.seen == [16, 8] + [4] * 12
    assert learner.micro_batch is None, "training is another matter"
    assert got.confusion_KK == expected.confusion_KK
    assert got.loss == pytest.approx(expected.loss, rel=1e-5)
    assert learner.state_dict()["eval_micro_batch"] == 4
    room.covers = 0
    with pytest.raises(OutOfMemory, match="out of memory with 1 cover at a time"):
        learner.evaluate(val)


def test_measuring_and_probing_go_on_with_fewer_covers(recipe, val):
    learner = tuner(recipe)
    model, spec = learner.export_model(), learner.input_spec
    expected = measure_model(model, spec, val)
    features, labels, _ = extract_features(model, val, CPU, input_spec=spec)
    Room(model, 5)
    assert measure_model(model, spec, val) == expected
    fewer, same, _ = extract_features(model, val, CPU, input_spec=spec)
    assert torch.equal(same, labels)
    torch.testing.assert_close(fewer, features, rtol=1e-2, atol=1e-2)  # bfloat16 where it is fast


# A process whose address space is capped: malloc itself says no, with no hook in between.
CAPPED = """
import resource, sys
import torch
from covertune.batch import Batch
from covertune.models import FineTuner, Recipe

torch.set_num_threads(1)
recipe = Recipe(backbone="small_cnn", image_px=64, epochs=1, batch_size=96,
                lr_head=1e-2, lr_backbone=1e-2, optimizer="sgd", precision="float32")
generator = torch.Generator().manual_seed(0)
images = torch.randint(0, 256, (96, 64, 64, 3), dtype=torch.uint8, generator=generator)
labels = torch.arange(96) % 4

tuner = FineTuner(recipe, 4, torch.device("cpu"), steps_per_epoch=2)
tuner.train_epoch([Batch(images[:4], labels[:4])])  # libraries are loaded with the first step
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
limit = int(status["VmSize"].split()[0]) * 1024 + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
stats = tuner.train_epoch([Batch(images, labels)] * 2)
print(tuner.micro_batch, tuner.step, stats.covers, f"{stats.loss:.4f}")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, caps the address space")
def test_a_process_that_really_has_no_memory_left():
    # Else glibc comes to keep freed maps in its heap, where the address space stays taken.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**17)}
    done = subprocess.run(
        [sys.executable, "-c", CAPPED, "90"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    micro_batch, step, covers, loss = done.stdout.split()
    assert 2 <= int(micro_batch) <= 48
    assert (int(step), int(covers)) == (3, 192)
    assert 0 < float(loss) < 10

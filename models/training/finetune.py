"""Fine-tuning one classifier: a plain epoch loop, measured.

Shapes: B batch, H = W image size, K genres.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from covertune.models.backbones import get_backbone
from covertune.models.backbones.heads import HeadWeights, head_of
from covertune.models.backbones.input_spec import Batches
from covertune.models.backbones.stages import freeze, is_batch_norm, stages
from covertune.models.errors import Collapse, ModelError, NonFiniteLoss
from covertune.models.metrics import Metrics, confusion
from covertune.models.micro_batches import MicroBatches, StepStatistics
from covertune.models.precision import choose_precision
from covertune.models.state import load_state
from covertune.models.training.augment import Augment, Mixing, step_generator
from covertune.models.training.checkpoint import read_state, write_state
from covertune.models.training.collapse import find_collapse
from covertune.models.training.ema import EmaModel
from covertune.models.training.frozen_prefix import frozen_prefix
from covertune.models.training.optim import (
    build_optimizer,
    learning_rates,
    lr_factor,
    set_learning_rates,
)
from covertune.models.training.progress import (
    EpochReport,
    ProgressMetrics,
    TrainingPass,
    ValidationPass,
)
from covertune.models.training.random_state import (
    dropout_seed,
    forked_random_state,
    random_state,
    set_random_state,
)
from covertune.models.training.recipe import Recipe
from covertune.models.training.start import build_start
from covertune.models.training.targets import targets_of
from covertune.wording import first_line

__all__ = ["FineTuner"]

_CHECK_EVERY = {"cpu": 1, "cuda": 8}  # steps between looks at the loss; a look waits for a GPU


class FineTuner:
    """Trains one classifier by a recipe.

    On a CPU, equal arguments and equal batches give equal results, and restoring a state and going
    on equals never having stopped. On a GPU both hold up to rounding: CUDA kernels may add in
    another order each time, and differ in the last digits.

    The random state of the CPU and of the tuner's device is left as it was; other GPUs of the
    process are reseeded, as `torch.manual_seed` does.

    A step that runs out of memory is done again in micro-batches of half the covers, as often as it
    takes, and later steps keep to their size: gradients of the mean loss over the whole batch are
    added up before the one optimiser step. Augmentation and mixing are those of the whole batch,
    and nothing of the attempts that were broken off remains. Two things differ: batch normalisation
    in train mode normalises by the covers of a micro-batch alone, and dropout draws its masks for
    each micro-batch apart.

    Args:
        recipe: What to do.
        num_genres: K.
        device: Where; the batches must come there.
        steps_per_epoch: Batches of one epoch, for the schedule.
        head: The probe's classifier, for `head_init: probe`.
        load_weights: False skips the recipe's weights, for a state that is to be restored.
        genres: Names of the K genres, for messages.

    Raises:
        WeightsError: The weights cannot be had or do not fit.
        ModelError: The recipe does not fit the backbone, or the probe's head is missing.
    """

    def __init__(
        self,
        recipe: Recipe,
        num_genres: int,
        device: torch.device,
        *,
        steps_per_epoch: int,
        head: HeadWeights | None = None,
        load_weights: bool = True,
        genres: Sequence[str] | None = None,
    ) -> None:
        if steps_per_epoch < 1:
            raise ModelError(f"steps_per_epoch must be at least 1, got {steps_per_epoch}")
        self.recipe = recipe
        self.num_genres = num_genres
        self._genres = genres
        self.device = torch.device(device)
        self.steps_per_epoch = steps_per_epoch
        self.epoch = 0
        self.step = 0
        self.covers_seen: int | None = 0  # None: taken up from a state that does not tell
        self.input_spec = get_backbone(recipe.backbone).input.at(recipe.image_px)
        self.model = build_start(
            recipe, num_genres, self.device, head=head, load_weights=load_weights
        )
        self._frozen_stages = freeze(self.model, recipe.frozen_stages)
        self._stages = stages(self.model)
        self._head = head_of(self.model)
        self.optimizer = build_optimizer(recipe, self.model, self._stages)
        self.ema = EmaModel(self.model, recipe.ema_decay) if recipe.ema_decay else None
        self._precision = choose_precision(recipe.precision, self.device)
        self._augment = Augment(recipe.augment_strength, self.input_spec)
        self._mixing = Mixing(recipe.mixup_alpha, recipe.cutmix_alpha, num_genres)
        self._train_mode()
        self._statistics = StepStatistics(self.model)
        self._micro = MicroBatches(self.device, least=self._statistics.fewest_covers)
        self._eval_micro = MicroBatches(self.device)

    @property
    def micro_batch(self) -> int | None:
        """The most covers that train at once; None: whole batches, memory never ran out."""
        return self._micro.size

    def train_epoch(self, batches: Batches) -> TrainingPass:
        """Train on every batch once.

        Raises:
            NonFiniteLoss: The loss became NaN or infinite; seen at once on a CPU, within eight
                steps on a GPU.
            OutOfMemory: Not even the fewest covers fit at once.
            ModelError: Covers of another size than the recipe's, or no batch at all.
        """
        self._train_mode()
        look_every = _CHECK_EVERY.get(self.device.type, 1)
        loss_sum = torch.zeros((), device=self.device)
        covers, waited = 0, 0.0
        started = time.perf_counter()
        source = iter(batches)
        prefix = frozen_prefix(self._stages, len(self._frozen_stages), self._head, self._precision)
        with forked_random_state(self.device), prefix:
            torch.manual_seed(dropout_seed(self.recipe.seed, self.epoch))
            while True:
                asked = time.perf_counter()
                batch = next(source, None)
                waited += time.perf_counter() - asked
                if batch is None:
                    break
                if len(batch.labels_B) < 2:  # batch normalisation cannot use a single cover
                    continue
                targets = targets_of(batch.labels_B, batch.genres_BK)
                loss_sum += self._train_step(batch.images_BHWC, targets) * len(targets)
                covers += len(targets)
                if self.step % look_every == 0:
                    self._check_finite(loss_sum)
        if covers == 0:
            raise ModelError("an epoch needs at least one batch of two covers, got none")
        self._check_finite(loss_sum)
        self.epoch += 1
        if self.covers_seen is not None:
            self.covers_seen += covers
        lr_head, lr_backbone = learning_rates(self.optimizer)
        return TrainingPass(
            loss=float(loss_sum) / covers,
            covers=covers,
            seconds=time.perf_counter() - started,
            data_wait_s=waited,
            lr_head=lr_head,
            lr_backbone=lr_backbone,
        )

    def evaluate(self, batches: Batches) -> ValidationPass:
        """Measure the classifier, the averaged one where the recipe keeps an average.

        Raises:
            OutOfMemory: Not even one cover fits.
            ModelError: No covers at all.
        """
        started = time.perf_counter()
        model = self.export_model()
        logits, labels, genres = [], [], []
        with torch.inference_mode(), self._precision.autocast_inference():
            for images_BHWC, labels_B, genres_BK in batches:
                classify = partial(self._classify, model, images_BHWC)
                logits.append(self._eval_micro.run(len(labels_B), classify))
                labels.append(labels_B)
                if genres_BK is not None:
                    genres.append(genres_BK)
        if not labels:
            raise ModelError("an evaluation needs at least one cover, got none")
        logits_NK, labels_N = torch.cat(logits).cpu(), torch.cat(labels).cpu()
        genres_NK = torch.cat(genres).cpu() if genres else None
        scores_NK, truth_N = logits_NK.numpy(), labels_N.numpy()
        marks_NK = None if genres_NK is None else genres_NK.numpy()
        return ValidationPass(
            metrics=Metrics.of(scores_NK, truth_N, marks_NK),
            loss=float(F.cross_entropy(logits_NK, targets_of(labels_N, genres_NK))),
            confusion_KK=confusion(scores_NK, truth_N).tolist(),
            covers=len(truth_N),
            seconds=time.perf_counter() - started,
        )

    def run_epoch(self, train: Batches, val: Batches) -> EpochReport:
        """Train one epoch, measure it, and refuse to go on with a collapsed classifier.

        Raises:
            NonFiniteLoss, OutOfMemory: See `train_epoch`.
            Collapse: See `models.training.collapse`; the error carries the report.
        """
        trained = self.train_epoch(train)
        measured = self.evaluate(val)
        if not math.isfinite(measured.loss):
            raise NonFiniteLoss(f"the validation loss is {measured.loss} in epoch {self.epoch}")
        progress = ProgressMetrics(
            epoch=self.epoch,
            covers_seen=self.covers_seen,
            train_loss=trained.loss,
            val_loss=measured.loss,
            covers_per_s=trained.covers / trained.seconds,
            data_wait_share=trained.data_wait_s / trained.seconds,
            lr_head=trained.lr_head,
            lr_backbone=trained.lr_backbone,
            seconds=trained.seconds + measured.seconds,
            **measured.metrics.values,
        )
        report = EpochReport(progress, measured.confusion_KK)
        reason = find_collapse(np.array(measured.confusion_KK, dtype=np.int64), self._genres)
        if reason is not None:
            raise Collapse(f"{reason} (epoch {self.epoch})", report)
        return report

    def export_model(self) -> nn.Module:
        """Return the classifier as it stands, the averaged one where there is one, in eval mode."""
        if self.ema is None:
            return self.model.eval()
        # TinyViT and EfficientViT-M (timm) keep attention biases computed in eval mode until
        # train() is called, which nobody else does on the average: they would be those of older
        # weights.
        return self.ema.module.train().eval()

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to go on: tensors and plain values only.

        Random numbers are drawn from (seed, epoch, step), so their state is the position.
        """
        return {
            "recipe": self.recipe.model_dump(),
            "num_genres": self.num_genres,
            "steps_per_epoch": self.steps_per_epoch,
            "epoch": self.epoch,
            "step": self.step,
            "covers_seen": self.covers_seen,
            "micro_batch": self._micro.size,
            "eval_micro_batch": self._eval_micro.size,
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state.

        Raises:
            ModelError: It belongs to another recipe or other genres, or is not whole.
        """
        own = {"recipe": self.recipe.model_dump(), "num_genres": self.num_genres}
        for name, value in own.items():
            if state.get(name) != value:
                raise ModelError(
                    f"a training state must have been saved with the same {name}; "
                    f"{_difference(value, state.get(name))}"
                )
        try:
            load_state(self.model, state["model"])
            if self.ema:
                load_state(self.ema.module, state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.step = int(state["epoch"]), int(state["step"])
            # States of covertune 0.1 have no number of covers, older ones no micro-batches.
            self.covers_seen = state.get("covers_seen")
            self._micro.size = state.get("micro_batch")
            self._eval_micro.size = state.get("eval_micro_batch")
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(
                f"a training state must fit {self.recipe.backbone} with {self.num_genres} genres, "
                f"this one does not ({first_line(error)}); take an earlier one"
            ) from error

    def save(self, path: Path) -> None:
        """Save the state; a reader sees the old file or the new one, never a part.

        Raises:
            ModelError: The place cannot be written.
        """
        write_state(self.state_dict(), path)

    def restore(self, path: Path) -> None:
        """Take up a saved state.

        Raises:
            ModelError: No training state, a damaged one, or one of another recipe.
        """
        self.load_state_dict(read_state(path))

    def _train_step(self, images_BHWC: Tensor, targets: Tensor) -> Tensor:
        """Take one optimiser step; return the loss, on the device.

        Only gradients are tried again with fewer covers. What the optimiser and the average take
        does not depend on them: memory that runs out there ends the trial, and no step is ever
        applied twice.
        """
        px = self.recipe.image_px
        if images_BHWC.shape[1:] != (px, px, 3):
            raise ModelError(
                f"covers must be ({px}, {px}, 3) as the recipe says, "
                f"got {tuple(images_BHWC.shape[1:])}"
            )
        rng = step_generator(self.recipe.seed, self.step)
        pixels = self._augment(images_BHWC, rng)
        pixels, targets = self._mixing(pixels, targets, rng)
        set_learning_rates(self.optimizer, lr_factor(self.recipe, self.step, self.steps_per_epoch))
        self._statistics.keep()
        loss = self._micro.run(
            len(targets),
            partial(self._add_up_gradients, pixels, targets),
            undo=partial(self._forget_step, random_state(self.device)),
        )
        self.optimizer.step()
        self.step += 1
        if self.ema:
            self.ema.update(self.model, self.step)
        return loss

    def _add_up_gradients(
        self, pixels_BCHW: Tensor, targets: Tensor, parts: Sequence[slice]
    ) -> Tensor:
        """Add up gradients of the mean loss over a batch; return the loss, on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for part in parts:
            share = (part.stop - part.start) / len(targets)
            with self._statistics.scaled_momentum(share), self._precision.autocast_training():
                logits_BK = self.model(self._layout(pixels_BCHW[part]))
            loss = share * F.cross_entropy(
                logits_BK.float(), targets[part], label_smoothing=self.recipe.label_smoothing
            )
            loss.backward()
            total += loss.detach()
        return total

    def _forget_step(self, before: tuple[Tensor, ...]) -> None:
        """Take back what a forward or backward pass that was broken off has left."""
        self.optimizer.zero_grad(set_to_none=True)
        self._statistics.put_back()
        set_random_state(before, self.device)

    def _classify(self, model: nn.Module, images_BHWC: Tensor, parts: Sequence[slice]) -> Tensor:
        """Return (B, K) logits, float32."""
        normalised = (self.input_spec.normalise(images_BHWC[part]) for part in parts)
        return torch.cat([model(self._layout(pixels)).float() for pixels in normalised])

    def _train_mode(self) -> None:
        self.model.train()
        for stage in self._frozen_stages:
            for module in stage.modules:
                module.eval()
        if self.recipe.batch_norm == "frozen":
            for module in self.model.modules():
                if is_batch_norm(module):
                    module.eval()

    def _layout(self, pixels: Tensor) -> Tensor:
        return pixels if self.recipe.channels_last else pixels.contiguous()

    def _check_finite(self, loss_sum: Tensor) -> None:
        if not bool(torch.isfinite(loss_sum)):
            raise NonFiniteLoss(
                f"the training loss became {float(loss_sum)} in epoch {self.epoch + 1} "
                f"by step {self.step}"
            )


def _difference(wanted: Any, came: Any) -> str:
    if isinstance(wanted, dict) and isinstance(came, dict):
        differing = [name for name in wanted if wanted[name] != came.get(name)]
        return f"they differ in {', '.join(differing)}"
    return f"wanted {wanted}, got {came}"

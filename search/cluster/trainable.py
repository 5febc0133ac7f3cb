"""One trial as a Ray Tune trainable: an epoch a step, a checkpoint after each.

The actor is reused for trial after trial (starting one costs seconds), so everything a trial owns
is built in `_begin` and dropped before the next.

Checkpoints are ours, not Ray's: they are written before the epoch is reported, so a result that
the study holds always has its checkpoint, and a new actor or a resumed search finds it by the
trial's number alone.

What a recipe can cause comes back as a result; raising would cost the actor.
"""

from __future__ import annotations

import platform
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from covertune.data_pipeline import CoverRefs
from covertune.models import (
    EpochReport,
    FineTuner,
    HeadWeights,
    ModelError,
    Recipe,
    TrainingFailure,
    inference_batch_size,
)
from covertune.models.out_of_memory import free_memory, is_out_of_memory
from covertune.models.training.checkpoint import read_state, write_state
from covertune.search.cluster.devices import describe_device, this_device
from covertune.search.plan import InputVariant
from covertune.search.record.checkpoints import RESULT
from covertune.search.record.constants import (
    BROKEN_OFF,
    CONFUSION,
    FAILURE,
    FINISHED,
    MICRO_BATCH,
    NUMBER,
    RECIPE_AT_FAULT,
    TRACEBACK,
)
from covertune.search.record.run_folder import checkpoint_name
from covertune.wording import first_line, named_first_line

__all__ = ["CoverTrial", "TrialInputs"]


@dataclass(frozen=True)
class TrialInputs:
    """What all trials of a search share; large parts are references into the object store."""

    splits: Mapping[InputVariant, Mapping[str, CoverRefs]]
    """`train` and `val`, as each backbone takes them."""
    heads: Mapping[InputVariant, HeadWeights]
    """Of the probes."""
    genres: tuple[str, ...]
    checkpoints: Path
    cpus_per_trial: int


class CoverTrial(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
    """Fine-tunes one recipe."""

    def setup(self, config: dict[str, Any], inputs: TrialInputs | None = None) -> None:
        """Set up, once per actor; `inputs` comes from `tune.with_parameters`."""
        if inputs is None:
            raise TypeError("CoverTrial needs its inputs: wrap it with tune.with_parameters")
        self._inputs = inputs
        torch.set_num_threads(inputs.cpus_per_trial)
        self._device = this_device()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial, which the actor is handed."""
        self.cleanup()
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._number: int = config[NUMBER]
        self._recipe = Recipe.model_validate(config["recipe"])
        # Building can fail as training can (out of memory); the first step then says so.
        self._tuner: FineTuner | None = None

    def _build(self) -> FineTuner:
        recipe, inputs = self._recipe, self._inputs
        variant = InputVariant.of(recipe)
        splits = inputs.splits[variant]
        self._train = splits["train"].batches(
            recipe.batch_size, self._device, shuffle=True, seed=recipe.seed
        )
        self._val = splits["val"].batches(
            inference_batch_size(recipe.image_px, self._device), self._device, shuffle=False
        )
        resumes = self._checkpoint.exists()
        head = None
        if recipe.head_init == "probe":
            head = inputs.heads[variant]
        tuner = FineTuner(
            recipe,
            len(inputs.genres),
            self._device,
            steps_per_epoch=len(self._train),
            head=head,
            load_weights=not resumes,  # a checkpoint needs neither hub nor file
            genres=inputs.genres,
        )
        self._told: dict[str, Any] | None = None
        if resumes:
            state = read_state(self._checkpoint)
            tuner.load_state_dict(state)
            # Whether this result reached the study before the crash is not known here, so it is
            # told again; the searcher drops what it has.
            self._told = state[RESULT]
        return tuner

    @property
    def _checkpoint(self) -> Path:
        return self._inputs.checkpoints / checkpoint_name(self._number)

    def step(self) -> dict[str, Any]:
        """Train and measure one epoch.

        Returns:
            The epoch's report under the names of `search.record.constants`; or a failure with its
            reason, which ends the trial. Nothing is raised for what a recipe can cause: a raised
            error would cost the actor.
        """
        try:
            if self._tuner is None:
                self._tuner = self._build()
                if self._told is not None:
                    return self._told
            epoch = self._tuner.epoch + 1
            report = self._tuner.run_epoch(self._train.epoch(epoch), self._val.epoch(0))
            result = self._measured(report)
            result[FINISHED] = result["done"] = report.progress.epoch >= self._recipe.epochs
            try:
                write_state(self._tuner.state_dict() | {RESULT: result}, self._checkpoint)
            except ModelError as error:  # a full disk, say; the trial goes on when there is room
                return {BROKEN_OFF: str(error), "done": True}
            return result
        except TrainingFailure as failure:
            measured = {} if failure.report is None else self._measured(failure.report)
            return measured | self._failure(failure.reason, recipe_at_fault=True)
        except torch.AcceleratorError:
            raise  # this process cannot use its GPU any more; Ray tries again in a new one
        except Exception as error:
            if is_out_of_memory(error):  # where fewer covers at a time do not help
                return self._failure(f"out of memory: {first_line(error)}", recipe_at_fault=True)
            reason = named_first_line(error, at_most=None)
            return self._failure(reason, recipe_at_fault=False)

    @staticmethod
    def _failure(reason: str, *, recipe_at_fault: bool) -> dict[str, Any]:
        return {
            FAILURE: reason,
            RECIPE_AT_FAULT: recipe_at_fault,
            TRACEBACK: traceback.format_exc(),
            FINISHED: True,
            "done": True,
        }

    def _measured(self, report: EpochReport) -> dict[str, Any]:
        """Return an epoch under the names of `ProgressMetrics` and `search.record.constants`."""
        fields = report.progress.model_dump()
        assert self._tuner is not None
        if self._tuner.micro_batch is not None:
            fields[MICRO_BATCH] = self._tuner.micro_batch
        return fields | {
            CONFUSION: report.confusion_KK,
            "node": platform.node(),
            "node_id": ray.get_runtime_context().get_node_id(),
            "device": describe_device(self._device),
        }

    def cleanup(self) -> None:
        """Drop what the trial owned."""
        self._tuner = None
        self._train = self._val = None  # type: ignore[assignment]
        free_memory(self._device)

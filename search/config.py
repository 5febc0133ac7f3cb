"""The configuration of a search: one frozen model, checked as a whole.

Values come from defaults, then a YAML file, then the command line; the resolved configuration is
written into the run folder. Fields name their unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from covertune.passwords import hide_passwords
from covertune.search.errors import ConfigError
from covertune.search.plan import Baseline, HalvingPlan, TrialPlan, TrialResources
from covertune.vocabulary import Fit
from covertune.wording import few, one_line, sentences

__all__ = ["SEEDS", "SearchConfig", "checked_config", "load_config"]

SEEDS = 2**32
"""How many there are; what draws takes no larger one."""

_DEFAULT_TRIALS = 16
_NAME_CHARS = 200  # of 255 that a file's name may have
_SQLITE = "sqlite:///"


class SearchConfig(BaseModel):
    """Everything that decides what a search does."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )

    store: Path | None = Field(
        None, description="Cover store to search on; none: generated sample covers."
    )
    name: str | None = Field(
        None,
        min_length=1,
        max_length=_NAME_CHARS,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the run folder; none: store name and time.",
    )
    runs_dir: Path = Field(Path("runs"), description="Folder that holds the runs.")
    backbones: tuple[str, ...] = Field(
        ("efficientnet_lite0",),
        min_length=1,
        description="Backbones to choose from (see `covertune backbones`).",
    )
    weights: dict[str, str] = Field(
        default_factory=dict,
        description="Weights by backbone: `default` (the hub), `none`, or a local file.",
    )
    image_px: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="Square input sizes to choose from, in pixels; none: chosen from the "
        "backbones and the device.",
    )
    fits: tuple[Fit, ...] = Field(
        ("squash",),
        min_length=1,
        description="How covers meet the square input, to choose from: `squash` both sides, `pad` "
        "the whole cover with bars, `crop` its middle. Each further one takes memory of its own.",
    )
    trials: int | None = Field(
        None, ge=1, description="Number of trials; none: 16, or unlimited under a time budget."
    )
    epochs: int = Field(6, ge=1, description="R: epochs of a trial that is never stopped.")
    sampler: Literal["tpe", "random"] = Field(
        "tpe", description="Who chooses after the first recipes: a model of past trials, or chance."
    )
    eta: int = Field(3, ge=2, description="Reduction factor of successive halving.")
    grace_epochs: int = Field(1, ge=1, description="r: epochs before the first rung.")
    brackets: int = Field(
        2,
        ge=1,
        le=10,
        description="Brackets of successive halving: with two, every second trial passes the first "
        "rung unjudged; with three, every third the second too. At the last rung all are judged.",
    )
    time_budget_s: float | None = Field(
        None, gt=0, description="Wall-clock seconds for the search, preparation included."
    )
    concurrency: int | None = Field(
        None, ge=1, description="Trials side by side; none: as many as the resources hold."
    )
    gpus_per_trial: float | None = Field(
        None, ge=0, description="GPUs of a trial, may be a fraction; none: 1 where there is a GPU."
    )
    cpus_per_trial: int = Field(1, ge=1, description="CPUs, and torch threads, of a trial.")
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="Memory for decoded covers, in GB; none: what Ray's object store has room "
        "for. What does not fit lies on a disk; what does not fit there either is decoded anew in "
        "each epoch.",
    )
    spill_dir: Path | None = Field(
        None,
        description="Folder, on this machine, for decoded covers that do not fit into memory; "
        "none: that of temporary files. A cluster has its own.",
    )
    address: str | None = Field(
        None, description="Ray cluster: none for this machine, `auto` for the one it belongs to."
    )
    storage: str | None = Field(
        None,
        repr=False,
        description="Optuna storage URL of the study; none: study.db in the run folder. A password "
        "is never written down: it comes from PGPASSWORD or ~/.pgpass, from `${VARIABLE}` in the "
        "URL, or with `--storage` given again.",
    )
    keep_checkpoints: int | None = Field(
        3,
        ge=1,
        description="Checkpoints kept of trials that have ended: those of the best so many, so "
        "that each can still be exported, beside the untuned one's; none: of all.",
    )
    seed: int = Field(
        0, ge=0, lt=SEEDS, description="Seed of sampler, splits of work and training."
    )
    rehearse: bool = Field(
        False,
        description="Search a small stratified sample of the training covers, in minutes.",
    )
    warm_start: tuple[Path, ...] = Field(
        (), description="Earlier runs whose best recipes are tried first."
    )
    baseline: float | None = Field(
        None, gt=0, le=1, description="Named top-1 to compare with; none: the frozen probe."
    )
    baseline_name: str = Field("named baseline", description="What the baseline is called.")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.grace_epochs > self.epochs:
            raise ValueError(
                f"grace_epochs must not exceed epochs, got {self.grace_epochs} > {self.epochs}"
            )
        doubled = {name for name in self.backbones if self.backbones.count(name) > 1}
        if doubled:
            raise ValueError(f"each backbone is named once, got {few(sorted(doubled))} twice")
        stray = sorted(set(self.weights) - set(self.backbones))
        if stray:
            raise ValueError(
                f"weights are given for {few(stray)}, which the search does not use; "
                f"backbones: {few(self.backbones, at_most=8)}"
            )
        if len(set(self.fits)) < len(self.fits):
            raise ValueError(f"each fit is named once, got {few(self.fits)}")
        if self.image_px is not None and len(set(self.image_px)) < len(self.image_px):
            raise ValueError(f"each size of image_px is named once, got {few(self.image_px)}")
        if self.image_px is not None and min(self.image_px) < 32:
            raise ValueError(f"image_px is at least 32, got {min(self.image_px)}")
        if self.address is not None and self.address.startswith("http"):
            raise ValueError(
                f"submitting a search as a Ray job is not built yet, got address {self.address!r}; "
                "run the command on the cluster's head with --address auto"
            )
        if self.address is not None and self.spill_dir is not None:
            raise ValueError(
                "spill_dir is for a search on this machine; a cluster spills where it was told to "
                "(`ray start --object-spilling-directory`), so leave it out with an address"
            )
        if self.address is not None and self.address != "auto" and ":" not in self.address:
            raise ValueError(f"address is `auto` or HOST:PORT, got {self.address!r}")
        return self

    def with_absolute_paths(self) -> Self:
        """Return the same with absolute paths, to resume and export from another folder."""
        weights = {
            name: given if given in ("default", "none") else str(Path(given).absolute())
            for name, given in self.weights.items()
        }
        storage = self.storage
        if storage is not None and storage.startswith(_SQLITE):
            storage = f"{_SQLITE}{Path(storage.removeprefix(_SQLITE)).absolute()}"
        return self.model_copy(
            update={
                "store": None if self.store is None else self.store.absolute(),
                "runs_dir": self.runs_dir.absolute(),
                "spill_dir": None if self.spill_dir is None else self.spill_dir.absolute(),
                "weights": weights,
                "storage": storage,
                "warm_start": tuple(path.absolute() for path in self.warm_start),
            }
        )

    @property
    def trial_limit(self) -> int | None:
        """Trials this search may end; None: only the time budget limits it."""
        if self.trials is None and self.time_budget_s is None:
            return _DEFAULT_TRIALS
        return self.trials

    @property
    def trial_plan(self) -> TrialPlan:
        """What all trials have in common."""
        return TrialPlan(self.epochs, self.seed, self.weights)

    @property
    def trial_resources(self) -> TrialResources:
        """What each trial is to hold."""
        return TrialResources(self.cpus_per_trial, self.gpus_per_trial, self.concurrency)

    @property
    def halving(self) -> HalvingPlan:
        """When trials are judged."""
        return HalvingPlan(self.grace_epochs, self.epochs, self.eta, self.brackets)

    def baseline_or(self, probe_top1: float | None) -> Baseline:
        """Return what the search is compared with: the user's baseline, or the probe."""
        if self.baseline is not None:
            return Baseline(self.baseline_name, self.baseline)
        return Baseline("frozen probe", probe_top1, is_measured=True)

    def without_effect(self) -> list[str]:
        """Return a warning for each setting that changes nothing."""
        told = []
        rungs = len(self.halving.rungs)
        if self.grace_epochs >= self.epochs > 1:
            told.append("no trial is stopped early: there is no rung below the last epoch")
        if self.brackets > max(rungs, type(self).model_fields["brackets"].default):
            told.append(
                f"brackets {self.brackets} has no more effect than {max(rungs, 1)}, the number of "
                "rungs; more epochs have more"
            )
        named = self.baseline_name != type(self).model_fields["baseline_name"].default
        if named and self.baseline is None:
            told.append(f"baseline_name {self.baseline_name!r} has no effect without a baseline")
        return told


def load_config(file: Path | None = None, **given: Any) -> SearchConfig:
    """Resolve a configuration from defaults, a YAML file and explicit values, in that order.

    Args:
        file: YAML mapping of field names to values.
        **given: Explicit values; None means not given.

    Raises:
        ConfigError: The file cannot be read, or a rule is broken; all problems in one message.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            why = hide_passwords(one_line(error))
            raise ConfigError(f"cannot read the configuration {file}: {why}") from error
        if not isinstance(loaded, dict):
            raise ConfigError(f"{file} must hold a mapping of settings, e.g. `trials: 20`")
        values.update(loaded)
    values.update({key: value for key, value in given.items() if value is not None})
    return checked_config(values)


def checked_config(values: Mapping[Any, Any]) -> SearchConfig:
    """Return a configuration of these values; None is a value like any other.

    Raises:
        ConfigError: A rule is broken; all problems in one message.
    """
    try:
        return SearchConfig.model_validate(dict(values))
    except ValidationError as error:
        problems = sentences(error, known=list(SearchConfig.model_fields))
        told = few(problems, separator="; ", at_most=8, item_chars=None)
        raise ConfigError(hide_passwords(told)) from error

"""`covertune search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from covertune.search.cli.render.console import duration_s
from covertune.search.config import load_config

__all__ = ["search"]


def _comma_separated(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _sizes(text: str | None) -> tuple[int, ...] | None:
    parts = _comma_separated(text)
    if parts is None:
        return None
    try:
        return tuple(int(part) for part in parts)
    except ValueError as error:
        raise typer.BadParameter(
            f"image sizes are whole pixels, comma-separated, got {text!r}"
        ) from error


def _weights(pairs: list[str]) -> dict[str, str] | None:
    if not pairs:
        return None
    named = {}
    for pair in pairs:
        backbone, equals, weights = pair.partition("=")
        if not equals or not backbone or not weights:
            raise typer.BadParameter(f"weights are given as BACKBONE=FILE, got {pair!r}")
        named[backbone] = weights
    return named


def _baseline(text: str | None) -> tuple[str | None, float | None]:
    """Read `0.40`, or `NAME=0.40`."""
    if text is None:
        return None, None
    name, equals, value = text.rpartition("=")
    try:
        return (name if equals else None), float(value)
    except ValueError as error:
        raise typer.BadParameter(
            f"a baseline is an accuracy such as 0.40, or NAME=0.40, got {text!r}"
        ) from error


def search(
    store: Annotated[
        Path | None,
        typer.Argument(help="Cover store made by `covertune data prepare`; none: sample covers."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    runs_dir: Annotated[
        Path | None, typer.Option(help="Folder of the runs. Default: runs.")
    ] = None,
    backbones: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated, see `covertune backbones`. Default: efficientnet_lite0."
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="BACKBONE=FILE, or BACKBONE=none; may be repeated."),
    ] = None,
    image_px: Annotated[
        str | None, typer.Option(help="Square input sizes to choose from, e.g. 128,224.")
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            help="How covers meet the square, to choose from: squash, pad, crop. Default: squash."
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Number of trials. Default: 16, or as many as the time allows."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of a full trial. Default: 6.")] = None,
    time_budget: Annotated[
        str | None, typer.Option(help="Wall-clock time, e.g. 20m or 1h30m.")
    ] = None,
    concurrent: Annotated[
        int | None, typer.Option(help="Trials side by side. Default: as many as fit.")
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(help="May be a fraction, e.g. 0.25. Default: 1 where there is one."),
    ] = None,
    cpus_per_trial: Annotated[int | None, typer.Option(help="CPUs of a trial. Default: 1.")] = None,
    memory_gb: Annotated[
        float | None,
        typer.Option(
            help="GB for decoded covers; others lie on a disk. Default: what Ray's store holds."
        ),
    ] = None,
    spill_dir: Annotated[
        Path | None,
        typer.Option(help="Where those lie. Default: the folder of temporary files."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="`auto`: the Ray cluster this machine belongs to. Default: this machine."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Optuna storage URL; a password in it as ${VARIABLE}, or from PGPASSWORD. "
            "Default: study.db in the run folder."
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Accuracy to compare with, 0.40 or NAME=0.40. Default: the frozen probe."
        ),
    ] = None,
    warm_start: Annotated[
        list[Path] | None,
        typer.Option(
            help="Earlier run whose best recipes are tried first; may be repeated.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings; options here win over it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random. Default: 0.")] = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Search a small stratified sample, in minutes.")
    ] = False,
) -> None:
    """Run a search and export the best model to RUN/model.

    Each trial fine-tunes a backbone; poor ones are stopped early. Ctrl-C stops cleanly, and
    `covertune resume RUN` goes on.

    Examples:
      covertune search

      covertune search my-store --time-budget 40m

      covertune search my-store --backbones resnet18,timm/convnext_nano --trials 40

      covertune search my-store --warm-start runs/last-week

      covertune search my-store --config search.yaml --address auto
    """
    baseline_name, baseline_top1 = _baseline(baseline)
    resolved = load_config(
        config,
        store=store,
        name=name,
        runs_dir=runs_dir,
        backbones=_comma_separated(backbones),
        weights=_weights(weights or []),
        image_px=_sizes(image_px),
        fits=_comma_separated(fit),
        trials=trials,
        epochs=epochs,
        time_budget_s=duration_s(time_budget),
        concurrency=concurrent,
        gpus_per_trial=gpus_per_trial,
        cpus_per_trial=cpus_per_trial,
        memory_gb=memory_gb,
        spill_dir=spill_dir,
        address=address,
        storage=storage,
        baseline=baseline_top1,
        baseline_name=baseline_name,
        warm_start=tuple(warm_start) if warm_start else None,
        seed=seed,
        rehearse=rehearse or None,
    )
    # Ray and torch take seconds to import; help and wrong usage need neither.
    from covertune.search.cli._ending import show_result
    from covertune.search.cli.render.live import LiveView
    from covertune.search.run import run_search

    with LiveView() as view:
        result = run_search(resolved, view)
    show_result(result)

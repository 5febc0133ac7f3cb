"""The live view of a search: what runs, the best so far, time left.

On a terminal a table that updates in place; where output is piped a line for each event, a measured
epoch among them, and each minute one that says how it all stands.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from optuna.trial import FrozenTrial, Trial
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from covertune.models import ProgressMetrics, Recipe
from covertune.search.cli.render.console import console, say_error, show_bytes, show_duration
from covertune.search.cli.render.heartbeat import Heartbeat
from covertune.search.cli.render.tables import input_size, plain_table
from covertune.search.cli.render.trial_tables import STATE_STYLES, trial_summary
from covertune.search.events import PreflightReport, ProbeReport, SearchObserver, SearchPlan
from covertune.search.finish.gap import Gap
from covertune.search.record.trial_record import ROLE_UNTUNED, TrialRecord
from covertune.search.record.trial_rows import latest_value
from covertune.search.schedule.time_left import TimeLeft
from covertune.wording import as_message, counted, escaped

__all__ = ["LiveView"]

_ROWS = 14


@dataclass
class _Line:
    """One trial as the table shows it."""

    number: int
    role: str
    recipe: Recipe
    state: str = "RUNNING"
    epoch: float = 0
    top1: float | None = None
    any_top1: float | None = None
    reason: str = ""
    started: float = field(default_factory=time.monotonic)
    seconds: float | None = None

    @property
    def epochs_in_words(self) -> str:
        """How far it has come: the epoch it is in while it runs, those it measured after that."""
        if self.state == "RUNNING":
            return f"in {min(int(self.epoch) + 1, self.recipe.epochs)} of {self.recipe.epochs}"
        return f"{self.epoch:g} of {self.recipe.epochs}" if self.epoch else "-"


class LiveView(SearchObserver):
    """Prints phases as they come, then keeps a table of trials up to date."""

    def __init__(self, *, line_every_s: float = 60.0) -> None:
        """Start with nothing printed.

        Args:
            line_every_s: Where output is piped, how often a line says how it all stands.
        """
        self._lines: dict[int, _Line] = {}
        self._plan: SearchPlan | None = None
        self._ended_before = 0
        self._ended = 0
        self._values: dict[int, float] = {}
        self._untuned: int | None = None
        self._told_best = 0.0
        self._spent_before_s = 0.0
        self._started = 0.0
        self._live: Live | None = None
        self._phase: Progress | None = None
        self._stopping = False
        self._checkpoints = ""
        self._behind: dict[int, float] = {}
        self._begun: set[int] = set()
        self._epoch_s: dict[tuple[str, int], float] = {}
        self._time_left: TimeLeft | None = None
        self._doing, self._doing_since, self._done_of = "", 0.0, ""
        self._heartbeat = Heartbeat(self._say_how_it_stands, line_every_s)

    def __enter__(self) -> Self:
        """Begin to count the time without a line."""
        if not console.is_terminal:
            self._heartbeat.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave a clean terminal, whatever happened."""
        self._heartbeat.stop()
        self._close_phase()
        self.ended()

    def _say(self, line: str) -> None:
        """Print a line where output is piped."""
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _say_how_it_stands(self) -> None:
        """Print what goes on, a minute after a phase or the last such line."""
        if self._doing:
            since = show_duration(time.monotonic() - self._doing_since)
            self._say("  ".join(filter(None, (self._doing, self._done_of, f"{since} so far"))))
        elif self._plan is not None:
            self._say(self._headline().plain)

    # -- before the trials ---------------------------------------------------------------------

    def phase(self, text: str) -> None:
        """Begin a new phase; the bar of the one before goes away."""
        self._close_phase()
        text = escaped(text)
        self._doing, self._doing_since, self._done_of = text, time.monotonic(), ""
        self._heartbeat.count_anew()
        if console.is_terminal:
            self._phase = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                console=console,
                transient=True,
            )
            self._phase.add_task(text, total=None)
            self._phase.start()
        else:
            self._say(f"{text} …")

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        self._done_of = f"{done:,} of {total:,}"
        if self._phase is not None:
            self._phase.update(self._phase.task_ids[0], completed=done, total=total)

    def _close_phase(self) -> None:
        if self._phase is not None:
            self._phase.stop()
            self._phase = None

    def warn(self, text: str) -> None:
        """Print a warning nobody can miss."""
        console.print(Text(f"WARNING  {as_message(text)}", style="bold black on yellow"))

    def preflight(self, report: PreflightReport) -> None:
        """Print one line per backbone and size."""
        self._close_phase()
        for check in report.checks:
            self._epoch_s[check.backbone, check.image_px] = check.epoch_s
            console.print(
                f"[green]ok[/] {escaped(check.backbone)} at {check.image_px} px on {check.device}: "
                f"{check.train_covers_per_s:,.0f} covers/s trained, "
                f"a full epoch {show_duration(check.epoch_s)}, {check.memory_mb:,.0f} MB",
                highlight=False,
                soft_wrap=True,
            )
        if report.search_s is not None:
            console.print(
                f"its trials will take about {show_duration(report.search_s)}", highlight=False
            )

    def probed(self, probe: ProbeReport) -> None:
        """Print the number to beat."""
        self._close_phase()
        console.print(
            f"[green]ok[/] frozen probe of {escaped(probe.backbone)} at {input_size(probe)}: "
            f"top-1 {probe.metrics.top1:.3f} on validation",
            highlight=False,
        )

    # -- trials --------------------------------------------------------------------------------

    def started(self, plan: SearchPlan, known: list[FrozenTrial], spent_s: float) -> None:
        """Open the table."""
        self._close_phase()
        self._doing = ""
        self._plan = plan
        self._ended_before = sum(trial.state.is_finished() for trial in known)
        self._spent_before_s = spent_s
        self._started = time.monotonic()
        if plan.trial_limit is not None:
            self._time_left = TimeLeft(
                trials=plan.trial_limit - len(known),
                slots=plan.slots.count,
                mean_epochs=plan.mean_epochs,
                epoch_s=self._epoch_s_of({}),
            )
        for trial in known:
            self._learn(trial)
        if console.is_terminal:
            self._live = Live(
                get_renderable=self._render, console=console, refresh_per_second=4, transient=True
            )
            self._live.start()

    def _learn(self, trial: FrozenTrial) -> None:
        """Take over a trial from before a resume."""
        self._measured(trial)
        self._begun.add(trial.number)
        record = TrialRecord(trial)
        if record.is_untuned:
            self._untuned = trial.number
        if trial.last_step is not None:
            self._behind[trial.number] = trial.last_step
            if self._time_left is not None:
                epoch_s = self._epoch_s_of(record.settings)
                self._time_left.measured_before(trial.last_step, record.seconds, epoch_s)

    def _epoch_s_of(self, settings: Mapping[str, Any]) -> float:
        """Return what the preflight told of an epoch of this backbone and size, or of all."""
        told = self._epoch_s.get((settings.get("backbone", ""), settings.get("image_px", 0)))
        return statistics.fmean(self._epoch_s.values() or [1.0]) if told is None else told

    def trial_started(self, number: int, role: str, recipe: Recipe) -> None:
        """Add a row."""
        behind = self._behind.get(number, 0)
        top1 = self._values.get(number)
        self._lines[number] = _Line(number, role, recipe, epoch=behind, top1=top1)
        if role == ROLE_UNTUNED:
            self._untuned = number
        if self._time_left is not None:
            self._time_left.began(
                number,
                epochs=behind,
                max_epochs=recipe.epochs,
                epoch_s=self._epoch_s_of(recipe.model_dump()),
                is_judged=role != ROLE_UNTUNED,
                is_new=number not in self._begun,
            )
        self._begun.add(number)

    def _measured(self, trial: FrozenTrial) -> None:
        """Take over the latest that a trial of the study measured, unless it has failed."""
        value = latest_value(trial)
        if value is None:
            self._values.pop(trial.number, None)
        else:
            self._values[trial.number] = value

    def epoch(self, trial: Trial, progress: ProgressMetrics, confusion_KK: list[list[int]]) -> None:
        """Move a row on."""
        line = self._lines[trial.number]
        line.epoch, line.top1, line.any_top1 = progress.epoch, progress.top1, progress.any_top1
        self._values[trial.number] = progress.top1
        self._behind[trial.number] = progress.epoch
        if self._time_left is not None:
            self._time_left.measured(trial.number, progress.epoch, progress.seconds)
        if self._live is None:
            self._say(
                f"epoch {line.epoch:g} of {line.recipe.epochs}  trial {line.number:>3}"
                f"  top-1 {self._shares(line)}  {show_duration(progress.seconds)}"
            )

    @staticmethod
    def _shares(line: _Line) -> str:
        top1 = "  -  " if line.top1 is None else f"{line.top1:.3f}"
        return top1 if line.any_top1 is None else f"{top1}  any genre {line.any_top1:.3f}"

    def trial_ended(self, trial: FrozenTrial) -> None:
        """Settle a row."""
        line = self._lines[trial.number]
        line.state = trial.state.name
        self._measured(trial)
        if trial.last_step is not None:  # perhaps measured before it was taken up again
            line.epoch, line.top1 = trial.last_step, trial.intermediate_values[trial.last_step]
        line.reason = TrialRecord(trial).reason or ""
        line.seconds = time.monotonic() - line.started
        self._ended += 1
        if self._time_left is not None:
            self._time_left.ended(line.number)
        if self._live is None:
            self._say(
                f"trial {line.number:>3}  {line.state:<8}  epoch {line.epochs_in_words:<6}"
                f"  top-1 {self._shares(line)}  {show_duration(line.seconds):>7}"
                f"  {self._what(line)}"
            )
            self._tell_gap()

    def _tell_gap(self) -> None:
        """Tell the gap once more each time the best has become better."""
        gap = self._gap
        if gap.best is not None and gap.best > self._told_best:
            self._told_best = gap.best
            self._say(f"on validation so far: {escaped(gap.in_words)}")

    def checkpoints(self, now_bytes: int, peak_bytes: int) -> None:
        """Set the line below the table."""
        now, peak = show_bytes(now_bytes), show_bytes(peak_bytes)
        self._checkpoints = f"checkpoints {now}, {peak} at most so far"

    def stopping(self) -> None:
        """Say that Ctrl-C was heard."""
        self._stopping = True
        if self._live is None:
            self._say("stopping: running trials keep their last checkpoint …")

    def ended(self) -> None:
        """Take the table away; the ending prints the final one."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def stopped(self, text: str) -> None:
        """Leave a clean terminal and one line."""
        self._close_phase()
        self.ended()
        say_error(text, kind="stopped")

    def broken_off(self, text: str) -> None:
        """Leave a clean terminal and one line."""
        self._close_phase()
        self.ended()
        say_error(text)

    @property
    def _best(self) -> tuple[float, int] | None:
        """The highest latest value, and whose it is: what an export would take now."""
        return max(((v, n) for n, v in list(self._values.items())), default=None)

    @property
    def _gap(self) -> Gap:
        """On validation covers, as far as it is known."""
        plan = self._plan
        assert plan is not None
        untuned = None if self._untuned is None else self._values.get(self._untuned)
        best = None if self._best is None else self._best[0]
        return Gap(untuned, best, plan.baseline, plan.covers.get("val"))

    @staticmethod
    def _what(line: _Line) -> str:
        return trial_summary(line.role, line.recipe, line.state, line.reason)

    def _render(self) -> RenderableType:
        lines = list(self._lines.values())  # another thread may add one meanwhile
        several = any(line.any_top1 is not None for line in lines)
        shares = ("top-1", "any genre") if several else ("top-1",)
        table = plain_table("trial", "state", "epoch", *shares, "time", left=2, wide="recipe")
        best = self._best
        running = [line for line in lines if line.state == "RUNNING"]
        settled = [line for line in lines if line.state != "RUNNING"]
        room = max(_ROWS - len(running), 0)
        for line in settled[max(len(settled) - room, 0) :] + running:
            seconds = line.seconds or time.monotonic() - line.started
            is_best = best is not None and best[1] == line.number
            table.add_row(
                str(line.number),
                Text(line.state.lower(), style=STATE_STYLES[line.state]),
                line.epochs_in_words,
                *(
                    "" if share is None else f"{share:.3f}"
                    for share in (line.top1, line.any_top1)[: len(shares)]
                ),
                show_duration(seconds),
                Text(self._what(line)),
                style="bold" if is_best else None,
            )
        below = [Text(self._checkpoints, style="dim")] if self._checkpoints else []
        return Group(self._headline(), Text(escaped(self._gap.in_words)), table, *below)

    def _headline(self) -> Text:
        plan = self._plan
        assert plan is not None
        spent_s = self._spent_before_s + time.monotonic() - self._started
        done = self._ended_before + self._ended
        parts = [escaped(plan.run.name)]
        if plan.trial_limit is None:
            parts.append(f"{counted(done, 'trial')} ended")
        else:
            parts.append(f"{done} of {counted(plan.trial_limit, 'trial')} ended")
        if (best := self._best) is not None:
            parts.append(f"best top-1 {best[0]:.3f} (trial {best[1]})")
        parts.append(show_duration(spent_s))
        left_s = self._left_s(spent_s)
        if left_s is not None and left_s >= 1:
            parts.append(f"about {show_duration(left_s)} left")
        if self._stopping:
            parts.append("stopping …")
        return Text("  ·  ".join(parts), style="bold")

    def _left_s(self, spent_s: float) -> float | None:
        """Estimate by the time budget, or by what trials have taken so far."""
        plan = self._plan
        assert plan is not None
        by_budget = None if plan.time_budget_s is None else max(plan.time_budget_s - spent_s, 0.0)
        by_pace = None if self._time_left is None else self._time_left.left_s
        candidates = [left for left in (by_budget, by_pace) if left is not None]
        return min(candidates) if candidates else None

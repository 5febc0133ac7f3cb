"""Phases of a benchmark, one after the other, as shares of what a bare loop would do.

The loop runs before and after each, so that all of them see the same machine.
"""

from __future__ import annotations

import statistics

import ray

from covertune.machine import usable_cpus


def chosen_phases(parser, given, names):
    """Return the phases that `--phases` asks for, in their usual order."""
    chosen = given.split(",")
    unknown = set(chosen) - set(names)
    if unknown:
        parser.error(f"phases are {', '.join(names)}, got {', '.join(unknown)}")
    return [name for name in names if name in chosen]


def run_phases(phases, bare, rounds=1):
    """Run phases in turn and print the covers/s of each.

    Args:
        phases: By name, a function that returns covers, the seconds they took, and seconds of
            start-up, which are left out.
        bare: Returns the covers/s of the loop on one core.
        rounds: How often each runs.

    Returns:
        The median covers/s of each phase.
    """
    bare()  # brings files into the page cache, as for all that follow
    loops = [bare()]
    speeds = {name: [] for name in phases}
    print(f"{'':<22}{'covers/s':>10}{'of cores x bare':>17}{'start-up':>11}")
    for _ in range(rounds):
        for name, phase in phases.items():
            done, seconds, start_s = phase()
            if ray.is_initialized():
                ray.shutdown()
            loops.append(bare())
            speed, ceiling = done / seconds, usable_cpus() * statistics.mean(loops[-2:])
            speeds[name].append(speed)
            print(f"{name:<22}{speed:>10.1f}{speed / ceiling:>16.0%}{start_s:>10.1f} s", flush=True)
    print(f"the bare loop, each time: {', '.join(f'{loop:.0f}' for loop in loops)} covers/s")
    return {name: statistics.median(of) for name, of in speeds.items() if of}


def print_ratio(speeds, commit, bare, bare_fast):
    """Print how much faster covertune has become since a commit, and the loop by its resizing."""
    ratio = speeds["covertune"] / speeds[f"covertune {commit}"]
    gain = statistics.median(bare_fast() / bare() for _ in range(3))
    print(f"ratio to {commit}: {ratio:.2f}; of the bare loop, resizing fast: {gain:.2f}")

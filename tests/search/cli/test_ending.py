"""What the end of a search says of untuned recipe and baseline."""

from types import SimpleNamespace

import pytest

from covertune.search.cli._ending import _against_baseline, _against_untuned


def outcome(untuned, best, baseline, *, closed=None, interval=None, trial=1, covers=2000):
    def score(number, top1):
        return SimpleNamespace(trial=number, test=SimpleNamespace(top1=top1, n=covers))

    return SimpleNamespace(
        untuned=None if untuned is None else score(0, untuned),
        best=score(trial, best),
        baseline_name="frozen probe",
        baseline_top1=baseline,
        gap_closed=closed,
        gap_closed_interval=interval,
    )


def test_points_and_gap_have_their_intervals():
    told = outcome(0.17, 0.355, 0.4, closed=0.804, interval=(0.711, 0.899))
    assert _against_untuned(told) == [
        "On test: untuned 0.170, the model 0.355, +18.5 points, 95 % interval +15.8 to +21.1."
    ]
    assert _against_baseline(told) == [
        "Baseline (frozen probe): 0.400.",
        "Gap closed: 80 %, 95 % interval 71 % to 90 %.",
    ]


@pytest.mark.parametrize(
    ("untuned", "baseline", "said"),
    [
        (0.42, 0.4, "is not behind the baseline"),
        (0.39, 0.4, "2,000 test covers cannot tell it from the untuned recipe"),
    ],
)
def test_where_there_is_no_gap_the_reason_is_told(untuned, baseline, said):
    (_, why) = _against_baseline(outcome(untuned, 0.5, baseline))
    assert said in why
    assert "%" not in why


def test_nothing_is_compared_with_itself_or_with_nothing():
    assert _against_untuned(outcome(0.3, 0.3, 0.4, trial=0)) == []
    assert _against_untuned(outcome(None, 0.3, 0.4)) == []
    assert _against_baseline(outcome(0.3, 0.3, None)) == []
    assert _against_baseline(outcome(None, 0.3, 0.4)) == ["Baseline (frozen probe): 0.400."]

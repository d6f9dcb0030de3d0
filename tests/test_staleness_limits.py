"""Limits on delays: measured, never looser than what was measured, and looser only with the tolerance."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikepipe_sched import InputError
from spikepipe_sched.staleness import Profile, Staleness, StalenessPoint
from spikepipe_sched.staleness_limits import delay_limits, joint_profile, loosest
from tests.sweeps import measured, point

#: Uniform staleness 2 keeps the accuracy within a point, 4 does not; layer a bears 8, layer b only 1.
LOWS = {(1, 1): -0.4, (2, 2): -0.6, (4, 4): -3.0, (1, 0): 0.1, (4, 0): -0.3, (8, 0): -0.9, (0, 1): -0.2, (0, 2): -0.8, (0, 4): -2.5}


@st.composite
def sweeps(draw: st.DrawFn) -> Staleness:
    """Any measurements of two or three layers: intervals, divergences, and joint profiles that shrink."""
    layers = draw(st.integers(2, 3))
    some = st.sets(st.integers(1, 5), max_size=4)
    profiles: list[tuple[str, Profile]] = [("uniform", (value,) * layers) for value in draw(some)]
    profiles += [("layer", (0,) * i + (value,) + (0,) * (layers - 1 - i)) for i in range(layers) for value in draw(some)]
    joint = draw(st.tuples(*[st.integers(0, 6)] * layers))
    while any(joint):
        profiles.append(("joint", joint))
        joint = tuple(value // 2 for value in joint)

    def drawn(kind: str, profile: Profile) -> StalenessPoint:
        return point(profile, draw(st.floats(-3, 1)), draw(st.floats(0, 2)), draw(st.sampled_from((0, 0, 0, 1))), kind)  # pyright: ignore[reportArgumentType]

    return measured({(1,) * layers: 0.0}, points=tuple(drawn(kind, profile) for kind, profile in profiles))


TOLERANCES = st.floats(0.01, 4)
SPARSE = settings(max_examples=60)


def keeps(sweep: Staleness, profile: Profile, tolerance: float) -> bool:
    """By the definition: nothing that was measured within the profile may cost the tolerance or more."""
    inside = [p for p in sweep.points if all(a <= b for a, b in zip(p.staleness, profile, strict=True))]
    return all(p.low > -tolerance and p.diverged == 0 for p in inside)


def candidates(sweep: Staleness, tolerance: float, kinds: tuple[str, ...]) -> list[Profile]:
    """All profiles of some kinds that keep the accuracy, staleness 0 included."""
    return [(0,) * len(sweep.layers)] + [p.staleness for p in sweep.points if p.kind in kinds and keeps(sweep, p.staleness, tolerance)]


@SPARSE
@given(sweeps(), TOLERANCES, st.sampled_from((None, "uniform", "joint")))
def test_limits_are_the_largest_measured_profile_that_keeps_the_accuracy(sweep, tolerance, kind):
    able = candidates(sweep, tolerance, ("uniform", "joint") if kind is None else (kind,))
    largest = [one for one in able if all(all(a >= b for a, b in zip(one, other, strict=True)) for other in able)]
    try:
        limits = delay_limits(sweep, tolerance, kind)
    except InputError:
        assert not largest
    else:
        assert tuple(delay - 1 for _, delay in limits) == largest[0]
        assert tuple(layer for layer, _ in limits) == sweep.layers


@SPARSE
@given(sweeps(), TOLERANCES, TOLERANCES, st.sampled_from(("uniform", "joint")))
def test_more_tolerance_never_allows_less(sweep, one, other, kind):
    tight, loose = (dict(delay_limits(sweep, tolerance, kind)) for tolerance in sorted((one, other)))
    assert all(tight[layer] <= loose[layer] for layer in sweep.layers)


@SPARSE
@given(sweeps(), TOLERANCES)
def test_no_measured_profile_within_the_limits_costs_more_than_the_tolerance(sweep, tolerance):
    for kind in ("uniform", "joint"):
        limits = dict(delay_limits(sweep, tolerance, kind))
        assert keeps(sweep, tuple(limits[layer] - 1 for layer in sweep.layers), tolerance)


@SPARSE
@given(sweeps(), TOLERANCES)
def test_the_joint_profile_begins_where_every_layer_alone_still_keeps_the_accuracy(sweep, tolerance):
    """Brute force over all profiles made of measured values."""
    alone = [p for p in sweep.points if p.kind == "layer"]
    able = []
    for profile in product(*({0} | {p.staleness[i] for p in alone} for i in range(len(sweep.layers)))):
        inside = [p for p in alone if all(a <= b for a, b in zip(p.staleness, profile, strict=True))]
        if all(p.low > -tolerance and p.diverged == 0 for p in inside):
            able.append(profile)
    assert joint_profile(sweep, tolerance) == max(able, key=sum)


def test_nothing_that_keeps_the_accuracy_means_synchronous():
    sweep = measured({(1, 1): -2.0, (2, 2): -3.0})
    assert loosest(sweep, 1.0) is None
    assert delay_limits(sweep, 1.0) == (("a", 1), ("b", 1))
    assert delay_limits(measured({(1, 1): 0.0}, points=()), 1.0) == (("a", 1), ("b", 1))


def test_a_joint_profile_that_allows_more_everywhere_is_taken():
    assert delay_limits(measured(LOWS | {(8, 2): -0.9}), 1.0) == (("a", 9), ("b", 3))


def test_a_uniform_profile_that_allows_more_everywhere_is_taken():
    assert delay_limits(measured(LOWS | {(2, 1): -0.9}), 1.0) == (("a", 3), ("b", 3))


def test_profiles_that_cannot_be_compared_are_the_users_choice():
    sweep = measured(LOWS | {(8, 1): -0.9})
    with pytest.raises(InputError, match=r"uniform \(2\) and joint \(a 8, b 1\); choose with --profile uniform or --profile joint"):
        delay_limits(sweep, 1.0)
    assert delay_limits(sweep, 1.0, "uniform") == (("a", 3), ("b", 3))
    assert delay_limits(sweep, 1.0, "joint") == (("a", 9), ("b", 2))


def test_a_worse_measurement_within_the_limits_rules_them_out():
    """Staleness 2 of layer b alone costs too much, so a profile with it is not taken, however well it did."""
    assert delay_limits(measured({(1, 1): -0.4, (2, 2): -0.6, (0, 2): -1.5}), 1.0) == (("a", 2), ("b", 2))


def test_a_diverged_run_rules_a_profile_out():
    points = (point((1, 1), -0.1, 0.2), point((2, 2), -0.1, 0.2, diverged=1))
    assert delay_limits(measured({(1, 1): 0.0}, points=points), 1.0) == (("a", 2), ("b", 2))


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan")])
def test_a_tolerance_must_be_positive(tolerance):
    with pytest.raises(InputError, match="must be a positive number of points"):
        delay_limits(measured({(1, 1): 0.0}), tolerance)

"""Limits on delays from a measurement of what they cost in accuracy.

Only what was measured becomes a limit: a uniform or a joint profile whose runs exclude, with their
95 % interval, a loss of the tolerance or more. Taking it as a limit on every layer assumes that accuracy
is monotone: that a schedule in which no layer is staler than in the profile does no worse. Where the
sweep itself does not bear this out, in that it cannot exclude the loss for a profile within the
limits, those limits are not used. Staleness 0 needs no measurement.

So uniform profiles are accepted in order, each only if all smaller ones were, and the choice of the
largest adds no error: one that does lose the tolerance is accepted with a probability of at most 2.5 %,
however many were tried (sequential rejection: Goeman and Solari 2010, doi:10.1214/10-AOS829), if
differences are normal and the tolerance was not chosen by looking at them. A joint profile is tried
as often as it is halved, and has that probability each time. Validating the schedule that was found, with
more seeds than the sweep had, is the test that counts.
"""

from __future__ import annotations

from typing import Literal

from spikepipe_sched.errors import InputError, require
from spikepipe_sched.staleness import Profile, Staleness, StalenessPoint, within

LimitKind = Literal["uniform", "joint"]


def delay_limits(staleness: Staleness, tolerance: float, kind: LimitKind | None = None) -> tuple[tuple[str, int], ...]:
    """The largest delay D of every layer, as `spikepipe_sched.Limits.layer_delay`; see `loosest`."""
    point = loosest(staleness, tolerance, kind)
    return tuple(zip(staleness.layers, (value + 1 for value in (point.staleness if point else (0,) * len(staleness.layers))), strict=True))


def loosest(staleness: Staleness, tolerance: float, kind: LimitKind | None = None) -> StalenessPoint | None:
    """The measured profile that allows most; None if none keeps the accuracy: only staleness 0 does.

    Parameters
    ----------
    tolerance
        Loss of accuracy that is too much [points], > 0.
    kind
        Which profiles to look at; both if None.

    Raises
    ------
    InputError
        If the loosest uniform and the loosest joint profile are not comparable and ``kind`` says
        nothing: each is looser in some layer, and which yields the better schedule only solving can tell.
    """
    require(tolerance > 0, f"the tolerance must be a positive number of points, got {tolerance}")
    # Profiles of one kind contain one another, so that there is a loosest of each.
    found = [best for one in ("uniform", "joint") if kind in (None, one) and (best := loosest_of(staleness, tolerance, one))]
    if len(found) < 2:
        return found[0] if found else None
    uniform, joint = found
    if within(uniform.staleness, joint.staleness):
        return joint
    if within(joint.staleness, uniform.staleness):
        return uniform
    raise InputError(
        f"two profiles keep the accuracy within {tolerance:g} points, and neither allows more in all layers: "
        f"uniform ({staleness.named(uniform.staleness)}) and joint ({staleness.named(joint.staleness)}); choose with --profile uniform or --profile joint"
    )


def loosest_of(staleness: Staleness, tolerance: float, kind: LimitKind) -> StalenessPoint | None:
    """Of one kind the loosest profile that keeps the accuracy, as does everything that was measured within it; None if there is none."""
    worse = [point.staleness for point in staleness.points if not point.keeps_accuracy(tolerance)]
    able = [point for point in staleness.points if point.kind == kind and not any(within(profile, point.staleness) for profile in worse)]
    return max(able, key=lambda point: sum(point.staleness), default=None)


def joint_profile(staleness: Staleness, tolerance: float) -> Profile:
    """What every single layer bears: its largest staleness up to which all measured ones keep the accuracy, the others not being stale.

    The losses of several layers add up or worse, so this is where a search for a joint profile begins, not what it ends with.
    """
    alone = [point for point in staleness.points if point.kind == "layer"]

    def borne(layer: int) -> int:
        measured = sorted((point.staleness[layer], point.keeps_accuracy(tolerance)) for point in alone if point.staleness[layer])
        worst = next((value for value, kept in measured if not kept), None)
        return max((value for value, _ in measured if worst is None or value < worst), default=0)

    return tuple(borne(layer) for layer in range(len(staleness.layers)))

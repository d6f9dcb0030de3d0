"""What is done about stale weights: the policies, by name.

A policy says which weights F and B of an iteration multiply by, and how gradients and updates are changed.
Where a layer's delays are 1 every policy is plain training. This list needs no PyTorch; what it
names is loaded when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from spikepipe_sched.errors import require, require_one_of

if TYPE_CHECKING:
    from spikepipe_sched.problem import WeightPolicy
    from spikepipe_sched.validate.optimise import OptimizerSettings
    from spikepipe_sched.validate.policies.policy import Policy

__all__ = ["POLICIES", "PolicySpec", "policy_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """A policy as users see it.

    Parameters
    ----------
    name, summary, source
        What it is called, does, and where it comes from (DOI or arXiv; "reconstruction" where the source
        does not give the rule, "extension" where it goes beyond the source).
    where
        ``module:class`` within this package.
    weights
        Which delays of a schedule it is made for (`WeightDelays.of_schedule`): ``stash``, B reads what
        F has read; ``latest``, B reads its own newest.
    optimizers
        Those it is defined for.
    by_momentum
        Whether it goes by the momentum, so that SGD must have one.
    """

    name: str
    summary: str
    source: str
    where: str
    weights: WeightPolicy = "stash"
    optimizers: tuple[str, ...] = ("sgd", "adam")
    by_momentum: bool = False

    def load(self) -> type[Policy]:
        """The class; needs PyTorch."""
        return resolve_name(f"{__name__}.{self.where}")


_SPECS: Final = (
    PolicySpec(
        name="stash",
        summary="B multiplies by the weights that F has read",
        source="PipeDream (doi:10.1145/3341301.3359646)",
        where="policy:Policy",
    ),
    PolicySpec(
        name="latest",
        summary="F and B each multiply by the newest weights they find",
        source="Zhang & Abdelrahman, pipelined training with stale weights (arXiv:1912.12675)",
        where="policy:Latest",
        weights="latest",
    ),
    PolicySpec(
        name="2bw",
        summary="two versions: gradients of several iterations are averaged into one update, one update late",
        source="PipeDream-2BW (arXiv:2006.09503)",
        where="policy:DoubleBuffered",
    ),
    PolicySpec(
        name="ema",
        summary="B estimates F's weights: the newest less a moving average of their changes",
        source="LayerPipe2 (arXiv:2512.08160); reconstruction: its rule is not in the public abstract",
        where="reconstruct:MovingAverage",
        weights="latest",
    ),
    PolicySpec(
        name="spectrain",
        summary="F and B multiply by weights predicted along the momentum",
        source="SpecTrain (arXiv:1809.02839); Adam's direction as in XPipe (arXiv:1911.04610)",
        where="predict:SpecTrain",
        weights="latest",
        by_momentum=True,
    ),
    PolicySpec(
        name="msnag",
        summary="F multiplies by weights predicted from the decaying momentum alone, B by the same",
        source="FTPipe (USENIX ATC 2021, multi-step Nesterov; its public code for Adam)",
        where="predict:MultiStepNesterov",
        by_momentum=True,
    ),
    PolicySpec(
        name="sc-lwp",
        summary="spike compensation of the update, and linear weight prediction for F",
        source="Kosson et al. (arXiv:2003.11666)",
        where="predict:SpikeCompensation",
        weights="latest",
        optimizers=("sgd",),
        by_momentum=True,
    ),
    PolicySpec(
        name="pipemare",
        summary="lower rates for stale layers at first, and B corrected by a moving average of changes",
        source="PipeMare (arXiv:1910.05124; T1 and T2)",
        where="reconstruct:PipeMare",
        weights="latest",
    ),
    PolicySpec(
        name="gap-aware",
        summary="gradients divided by how far the weights have moved since",
        source="Gap-Aware (arXiv:1909.10802); extension to Adam: its direction for the momentum",
        where="gap:GapAware",
        by_momentum=True,
    ),
)
POLICIES: Final[Mapping[str, PolicySpec]] = MappingProxyType({spec.name: spec for spec in _SPECS})


def policy_for(name: str, settings: OptimizerSettings) -> PolicySpec:
    """The policy of that name, if it is defined for the optimizer.

    Raises
    ------
    InputError
        If there is no such policy, or it is not defined for the optimizer.
    """
    require_one_of("validation", "policy", name, POLICIES)
    spec = POLICIES[name]
    others = ", ".join(other for other, each in POLICIES.items() if settings.name in each.optimizers)
    require(
        settings.name in spec.optimizers,
        f"the policy '{name}' is defined for {' and '.join(spec.optimizers)} only, not for {settings.name}: choose another optimizer, or one of {others}",
    )
    require(
        not spec.by_momentum or settings.momentum > 0,
        f"the policy '{name}' goes by the momentum, which is 0: choose a momentum above 0, or another policy",
    )
    return spec

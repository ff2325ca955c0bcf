"""What a person wants of the instances, as far as the account lets them have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from fmrec.dataset.section import Section
from fmrec.errors import SettingsError

InputMode = Literal["File", "FastFile", "Pipe"]
DataDistribution = Literal["FullyReplicated", "ShardedByS3Key"]

FAMILIES = ("m5", "m6i", "m7i", "c5", "c6i", "c7i", "r5", "r6i", "r7i")
"""Current families with a known price and a volume of settable size.

ml.m5 leads: it is what the algorithms' own pages name and where accounts get quotas first.
Left out: t2 (bursts, then starves), m4 and c4 (previous generation, no known price), and the
types with local disks (m5d, c5d, r5d), where the volume size is ignored.
"""

STEPS = ("fm_training", "knn_training", "batch_transform", "knn_endpoint", "fm_transform", "fm_endpoint")
"""What every plan has."""

STEPS_OF_TASK = {
    "recommend": ("fm_training", "knn_training", "batch_transform", "knn_endpoint"),
    "predict-rating": ("fm_training", "fm_transform", "fm_endpoint"),
}
"""What a run of each task takes: lists by k-NN, or pairs scored by the FM model itself."""

OPTIONAL_STEPS = ("fm_tuning", "fm_trials", "evaluation")
"""What a plan has when it is asked for: tuning by SageMaker or by ranking, and ranking evaluation."""

ALL_STEPS = STEPS + OPTIONAL_STEPS


@dataclass(frozen=True)
class Policy:
    """How to choose among the types that would do.

    Parameters
    ----------
    families
        The families allowed. The first is preferred: its types come first as long as they cost
        at most ``preferred_price_factor`` times the cheapest type that fits; beyond that, and
        for all others, price decides, then the order of this list.
    preferred_price_factor
        How much more the preferred family may cost before price decides.
    maximum_price_factor
        A fallback that costs more than this many times the cheapest type that fits is refused,
        so that a small model never lands on a huge instance unasked.
    maximum_usd_per_hour
        Limit for one step, all its instances together. A type of unknown price can't be held
        under a limit, so it is refused when there is one.
    instance_types
        Step → types, in the order to try; nothing else is considered for that step. A fixed
        type is still checked against API, memory and quota, but not against price and family.
    instance_counts
        Step → number of instances; 1 where a step is missing.
    input_mode
        ``TrainingInputMode`` of FM training. ``File`` copies the channels to the volume first.
    data_distribution
        ``S3DataDistributionType`` of FM training's train channel.
    spot_training
        Managed spot for FM and k-NN training: other quotas; a lower, varying price.
    memory_safety_factor
        Multiplies what is estimated, not measured. Lower it once ``MemoryUtilization`` was seen.

    Raises
    ------
    SettingsError
        A value out of range.
    """

    families: tuple[str, ...] = FAMILIES
    preferred_price_factor: float = 2.5
    maximum_price_factor: float = 10.0
    maximum_usd_per_hour: float | None = None
    instance_types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    instance_counts: Mapping[str, int] = field(default_factory=dict)
    input_mode: InputMode = "File"
    data_distribution: DataDistribution = "FullyReplicated"
    spot_training: bool = False
    memory_safety_factor: float = 1.5

    def __post_init__(self) -> None:
        if not self.families and not self.instance_types:
            raise SettingsError("policy.families is empty: name at least one family, such as 'm5'")
        for name in ("preferred_price_factor", "maximum_price_factor", "memory_safety_factor"):
            if not getattr(self, name) >= 1:
                raise SettingsError(
                    f"policy.{name} is {getattr(self, name)!r}, expected a number of at least 1"
                )
        if self.maximum_usd_per_hour is not None and not self.maximum_usd_per_hour > 0:
            raise SettingsError(
                f"policy.maximum_usd_per_hour is {self.maximum_usd_per_hour!r}, expected more than 0, or none"
            )
        for name, value, allowed in (
            ("input_mode", self.input_mode, get_args(InputMode)),
            ("data_distribution", self.data_distribution, get_args(DataDistribution)),
        ):
            if value not in allowed:
                raise SettingsError(f"policy.{name} is {value!r}, expected one of {', '.join(allowed)}")
        for name, mapping in (
            ("instance_types", self.instance_types),
            ("instance_counts", self.instance_counts),
        ):
            unknown = sorted(set(mapping) - set(ALL_STEPS))
            if unknown:
                raise SettingsError(
                    f"policy.{name} names the step {unknown[0]!r}; the steps are {', '.join(ALL_STEPS)}"
                )
        for step, count in self.instance_counts.items():
            if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 100:
                raise SettingsError(f"policy.instance_counts[{step!r}] is {count!r}, expected 1 to 100")

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any]) -> Policy:
        """Build from JSON: lists become tuples, and one type may stand without a list.

        Raises
        ------
        SettingsError
            An unknown key or a value of the wrong kind.
        """
        section = Section(document, "policy")
        values: dict[str, Any] = {}
        for name in (each.name for each in fields(cls)):
            if name not in section:
                section.take(name, None)
            elif name in {"families", "instance_types", "instance_counts"}:
                values[name] = _READERS[name](section, name)
            elif name == "spot_training":
                values[name] = section.flag(name, False)
            elif name in {"input_mode", "data_distribution"}:
                values[name] = section.text(name)
            else:
                values[name] = section.number(name)
        section.finish()
        return cls(**values)

    def instance_count(self, step: str) -> int:
        return self.instance_counts.get(step, 1)


def _texts(section: Section, key: str) -> tuple[str, ...]:
    found = section.take(key)
    if not isinstance(found, list | tuple) or not all(isinstance(text, str) for text in found):
        raise section.error(key, "a list of texts")
    return tuple(found)


def _types(section: Section, key: str) -> dict[str, tuple[str, ...]]:
    """Step → types; one type may stand without a list, and none leaves the step to the policy."""
    found = section.take(key)
    if not isinstance(found, Mapping):
        raise section.error(key, "an object of steps and instance types")
    lists = {step: [types] if isinstance(types, str) else types for step, types in found.items()}
    inner = Section(lists, section.where(key))
    return {step: _texts(inner, step) for step in lists if lists[step]}


def _counts(section: Section, key: str) -> dict[str, int]:
    found = section.take(key)
    if not isinstance(found, Mapping):
        raise section.error(key, "an object of steps and counts")
    return dict(found)


_READERS: dict[str, Callable[[Section, str], Any]] = {
    "families": _texts,
    "instance_types": _types,
    "instance_counts": _counts,
}

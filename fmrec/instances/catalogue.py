"""The instance types that may be chosen, with memory and dated prices.

``instance_types.csv`` has one line per type: which of SageMaker's four calls accepts it
(botocore's enums; a test compares them with the installed botocore), vCPU and memory (EC2's
figures), and us-east-1 on-demand prices with their date. A blank price is unknown, not zero.
GPU types are left out on purpose: Factorization Machines uses them for dense data only, and
exact k-NN on CPU has the lower latency for single requests.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

Call = Literal["training", "hosting", "transform", "processing"]
"""The API call that starts the instance; each accepts types of its own."""

CALLS: tuple[Call, ...] = ("training", "hosting", "transform", "processing")

ENUM_NAMES: dict[Call, str] = {
    "training": "TrainingInstanceType",
    "hosting": "ProductionVariantInstanceType",
    "transform": "TransformInstanceType",
    "processing": "ProcessingInstanceType",
}
"""The shape in botocore's sagemaker model that lists what each call accepts."""

TABLE_REGION = "us-east-1"
_TABLE = Path(__file__).with_name("instance_types.csv")


@dataclass(frozen=True)
class InstanceType:
    """One ``ml.*`` type."""

    name: str
    vcpu: int
    memory_gib: float
    accepted_by: frozenset[Call]

    @property
    def family(self) -> str:
        """``m5`` of ``ml.m5.large``."""
        return self.name.split(".")[1]


@dataclass(frozen=True)
class Prices:
    """Hourly on-demand price of one instance, by call and type. What is missing is unknown.

    ``source`` says in words where the prices come from, for the plan's ``cost.basis``.
    """

    per_hour: Mapping[tuple[Call, str], float]
    currency: str
    source: str
    notes: tuple[str, ...] = field(default=())

    def of(self, call: Call, instance_type: str) -> float | None:
        return self.per_hour.get((call, instance_type))


@cache
def _table() -> tuple[dict[str, str], ...]:
    with _TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


@cache
def catalogue() -> tuple[InstanceType, ...]:
    """Return every type of the table, in the table's order."""
    return tuple(
        InstanceType(
            name=row["instance_type"],
            vcpu=int(row["vcpu"]),
            memory_gib=float(row["memory_gib"]),
            accepted_by=frozenset(call for call in CALLS if row[call] == "1"),
        )
        for row in _table()
    )


@cache
def table_prices(region: str = TABLE_REGION) -> Prices:
    """Return the dated table's prices, marked as what they are when the Region is another one."""
    per_hour: dict[tuple[Call, str], float] = {}
    for row in _table():
        for call in CALLS:
            # Processing has no column: the table's source states that it agrees with training.
            text = row[f"{'training' if call == 'processing' else call}_usd_per_hour"]
            if text and row[call] == "1":
                per_hour[call, row["instance_type"]] = float(text)
    dates = sorted({row["price_date"] for row in _table() if row["price_date"]})
    notes = ["batch transform rates are inferred to equal hosting rates"]
    if region != TABLE_REGION:
        notes.append(f"these are {TABLE_REGION} prices; {region} may differ by tens of percent")
    return Prices(
        per_hour=per_hour,
        currency="USD",
        source=f"built-in table of {TABLE_REGION} on-demand prices of {dates[-1]}",
        notes=tuple(notes),
    )


def largest(types: Iterable[InstanceType], call: Call) -> InstanceType | None:
    """Return the type with the most memory that ``call`` accepts."""
    accepted = [t for t in types if call in t.accepted_by]
    return max(accepted, key=lambda t: (t.memory_gib, t.name), default=None)

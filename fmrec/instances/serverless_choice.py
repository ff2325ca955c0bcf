"""Whether a serverless endpoint can hold a model: one candidate, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping

from fmrec.instances.chooser import Candidate, Choice, Rejected
from fmrec.instances.memory import SERVERLESS_MEMORY_MB, serverless_memory_mb
from fmrec.instances.serverless import INSTANCE_TYPE, Serverless
from fmrec.instances.workloads import Workload

MEMORY_QUOTA = "Memory size in MB per serverless endpoint"
NUMBER_QUOTA = "Maximum number of serverless endpoints"
CONCURRENCY_QUOTA = "Maximum total concurrency that can be allocated across all serverless endpoints"
USD_PER_GB_SECOND = 0.00002
USD_PER_GB_OF_DATA = 0.016
"""Rates of us-east-1, as AWS's own cost calculator for serverless inference has them."""


def choose(work: Workload, wanted: Serverless, quotas: Mapping[str, float]) -> Choice:
    """Return the one candidate that there is, or why it is none.

    Parameters
    ----------
    quotas
        Quota name → applied value; a missing name is unknown and refuses nothing. What other serverless
        endpoints use isn't looked at: SageMaker refuses an endpoint for which nothing is left.
    """
    needed = serverless_memory_mb(work.memory)
    if needed is None:
        most = SERVERLESS_MEMORY_MB[-1]
        why = (
            f"a serverless endpoint has at most {most:,} MB, of which a model may take about half, and this one "
            f"takes {work.memory.gib_with(1):.1f} GiB; leave out serving.serverless"
        )
        return Choice((), (Rejected(INSTANCE_TYPE, why, "memory"),))
    memory_mb = max(wanted.memory_mb, needed)
    for quota, least in quotas_of(work):
        limit = quotas.get(quota)
        if limit is not None and limit < least:
            why = f"quota '{quota}' is {limit:g}, {least:,} wanted"
            return Choice((), (Rejected(INSTANCE_TYPE, why, "quota", quota, limit, 0.0, wanted=least),))
    candidate = Candidate(
        instance_type=INSTANCE_TYPE,
        instance_count=0,
        volume_size_gb=None,
        usd_per_hour=0.0,
        why=(
            f"by the settings; {memory_mb:,} MB, of which the model needs {needed:,}; "
            f"{wanted.maximum_concurrency} requests at a time; {price(memory_mb)}"
        ),
        memory_mb=memory_mb,
        maximum_concurrency=wanted.maximum_concurrency,
    )
    return Choice((candidate,), ())


def quotas_of(work: Workload) -> tuple[tuple[str, int], ...]:
    """Quotas that count for a step's serverless endpoint, each with what it must leave; none on instances."""
    wanted = work.serverless
    if wanted is None:
        return ()
    memory_mb = max(wanted.memory_mb, serverless_memory_mb(work.memory) or SERVERLESS_MEMORY_MB[-1])
    return (MEMORY_QUOTA, memory_mb), (NUMBER_QUOTA, 1), (CONCURRENCY_QUOTA, wanted.maximum_concurrency)


def price(memory_mb: int) -> str:
    """Say what calls cost in us-east-1, in words."""
    return (
        f"paid by the call: {memory_mb / 1024 * USD_PER_GB_SECOND:.5f} USD for each second and "
        f"{USD_PER_GB_OF_DATA:g} USD per GB of data"
    )

"""One execution at a time changes what a data set serves (`fmrec.registry.publishing_lock`).

Whoever waits for another execution finds another champion afterwards, so the model is judged again.
"""

from __future__ import annotations

from stacks.workflow.quality_gate import CHAMPION, FOR_LISTS, MEASURE
from stacks.workflow.state_builders import EXPLAIN, States, decide, invoke, jsonata, merge, own_failure, wait

ACQUIRE = "Acquire the publishing lock"
ACQUIRED = "Is the publishing lock acquired?"
WAIT = "Wait for the publishing lock"

WAIT_SECONDS = 300
MAXIMUM_WAITS = 288
"""A day: as long as a run may wait for instances with the lock in its hands."""


def acquire(*, lists: str, scores: str) -> States:
    """All states between a model that is to serve and the first change of what is served."""
    return merge(
        invoke(
            ACQUIRE,
            "${AcquirePublishingLock}",
            {
                "dataset": jsonata("$dataset_name"),
                "execution_arn": jsonata("$execution_arn"),
                "champion_uri": CHAMPION,
                "judged_against": jsonata(
                    "$type($promotion) = 'object' ? $promotion.replaces "
                    ": ($type($evaluation) = 'object' ? $evaluation.judged_against : null)"
                ),
            },
            assign={"lock": jsonata("$states.result.Payload"), "lock_waits": jsonata("$lock_waits + 1")},
            timeout_seconds=120,
            next_state=ACQUIRED,
        ),
        decide(
            ACQUIRED,
            (
                "$lock.champion_changed and $type($promotion) = 'object'",
                EXPLAIN,
                {
                    "failure": own_failure(
                        ACQUIRE,
                        "ChampionChangedError",
                        "'another model has begun to serve since this rollback was started: look at `fmrec models`, and "
                        "start it again if it is still wanted'",
                    )
                },
            ),
            ("$lock.champion_changed", MEASURE),
            (f"$lock.acquired and {FOR_LISTS}", lists),
            ("$lock.acquired", scores),
            (f"$lock_waits < {MAXIMUM_WAITS}", WAIT),
            otherwise=EXPLAIN,
            assign={
                "failure": own_failure(
                    ACQUIRE,
                    "PublishingLockError",
                    "'the execution ' & $lock.holder & ' has been publishing the same data set for "
                    f"{MAXIMUM_WAITS * WAIT_SECONDS // 3600} hours: wait until it ends, or stop it, and start this one "
                    "again'",
                )
            },
        ),
        wait(WAIT, WAIT_SECONDS, next_state=ACQUIRE),
    )

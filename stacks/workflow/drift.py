"""Is the data still the data? Before anything is trained, a run's encoding is compared with the champion's.

What passes a limit is a warning in the run's report, or stops the run: then what serves goes on serving. A
promotion trains nothing, so nothing is compared.
"""

from __future__ import annotations

from fmrec.artifacts import layout
from stacks.workflow.names import of_dataset
from stacks.workflow.quality_gate import CHAMPION, FOR_LISTS
from stacks.workflow.state_builders import EXPLAIN, States, decide, invoke, jsonata, merge
from stacks.workflow.training import COMPARE, DATA

ALIKE = "Is the data like the champion's?"

SERVED_BY_TASK = jsonata(
    f"{FOR_LISTS} ? {CHAMPION.removeprefix('{% ').removesuffix(' %}')} : "
    + of_dataset(f"{DATA}/{layout.CHAMPION}", f"'{layout.SCORING_RECORD.removeprefix(layout.CHAMPION)}'", "/")
)
"""Where it is recorded what serves for the run's task."""


def compare(*, next_state: str) -> States:
    """All states between the encoding and what is trained on it."""
    return merge(
        invoke(
            COMPARE,
            "${CompareData}",
            {
                "manifest_uri": jsonata("$manifest_uri"),
                "champion_uri": SERVED_BY_TASK,
                "limits": jsonata("$drift_limits"),
            },
            assign={"drift": jsonata("$states.result.Payload")},
            timeout_seconds=300,
            next_state=ALIKE,
        ),
        decide(
            ALIKE,
            (
                "$drift.stopped",
                EXPLAIN,
                {
                    "failure": {
                        "state": COMPARE,
                        "log": "",
                        "name": "",
                        "error": {"Error": "DriftError", "Cause": jsonata("$drift.sentence")},
                    }
                },
            ),
            otherwise=next_state,
        ),
    )

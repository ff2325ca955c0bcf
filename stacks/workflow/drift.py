"""Is the data still the data? Before anything is trained, a run's encoding is compared with the champion's.

What passes a limit is a warning in the run's report, or stops the run: then what serves goes on serving. A
promotion trains nothing, so nothing is compared. After the lists are published, they are compared too.
"""

from __future__ import annotations

from fmrec.artifacts import layout
from stacks.workflow.names import of_dataset
from stacks.workflow.quality_gate import CHAMPION, FOR_LISTS
from stacks.workflow.state_builders import EXPLAIN, States, decide, invoke, jsonata, merge, own_failure
from stacks.workflow.training import COMPARE, DATA

ALIKE = "Is the data like the champion's?"
COMPARE_LISTS = "Compare the lists with the champion's"

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
                {"failure": own_failure(COMPARE, "DriftError", "$drift.sentence")},
            ),
            otherwise=next_state,
        ),
    )


def compare_lists(*, next_state: str) -> States:
    """A remark of the report's: the lists are published already, so a run goes on without it."""
    changes = "$merge([$published, {'changes': %s}])"
    compare = invoke(
        COMPARE_LISTS,
        "${CompareLists}",
        {
            "lists_uri": jsonata("$recommendations_uri"),
            "manifest_uri": jsonata("$manifest_uri"),
            "champion_uri": CHAMPION,
        },
        assign={"published": jsonata(changes % "$states.result.Payload")},
        next_state=next_state,
    )
    sentence = (
        '"The lists could not be compared with the champion\'s: " '
        "& $substring($string($states.errorOutput.Cause), 0, 300)"
    )
    compare[COMPARE_LISTS]["Catch"] = [
        {
            "ErrorEquals": ["States.ALL"],
            "Assign": {"published": jsonata(changes % f"{{'sentence': {sentence}}}")},
            "Next": next_state,
        }
    ]
    return compare

"""Is the model good enough for what it is for? What fails here is neither published nor served.

`recommend` is judged by its lists, over all items, against popularity and the champion that serves now;
`predict-rating` by what SageMaker measured on the test channel. Only `recommend` goes on to lists: a model
of ratings never learned what people don't pick.
"""

from __future__ import annotations

from fmrec.artifacts import layout
from stacks.workflow.names import of_dataset
from stacks.workflow.retrieval import EXPORT
from stacks.workflow.state_builders import EXPLAIN, States, decide, invoke, jsonata, merge
from stacks.workflow.training import DATA

PURPOSE = "Is the model for top-N lists?"
MEASURE = "Evaluate the ranking"
CHECK_QUALITY = "Check the quality"
GOOD_ENOUGH = "Is the model good enough?"

FOR_LISTS = "$task = 'recommend'"

CHAMPION = jsonata(of_dataset(f"{DATA}/{layout.CHAMPION}", f"'{layout.MODEL_RECORD}'", "/"))
"""Where the model that serves is recorded (`fmrec.registry.champion`)."""


def judge(*, judged: str, passed: str) -> States:
    """All states between a trained model and what is made of it.

    Parameters
    ----------
    judged
        The state between the verdict and what follows from it, `GOOD_ENOUGH`.
    passed
        The state that follows for a model that is good enough.
    """
    return merge(
        decide(PURPOSE, (FOR_LISTS, EXPORT), otherwise=CHECK_QUALITY),
        invoke(
            MEASURE,
            "${EvaluateRanking}",
            {
                "manifest_uri": jsonata("$manifest_uri"),
                "embeddings_uri": jsonata("$embeddings.uri"),
                "champion_uri": CHAMPION,
                "output_uri": jsonata("$evaluation_uri"),
            },
            assign={"evaluation": jsonata("$states.result.Payload")},
            next_state=CHECK_QUALITY,
        ),
        invoke(
            CHECK_QUALITY,
            "${CheckQuality}",
            {
                "metrics": jsonata("$metrics"),
                "evaluation": jsonata("$evaluation"),
                "thresholds": jsonata("$thresholds"),
            },
            assign={"verdict": jsonata("$states.result.Payload")},
            next_state=judged,
        ),
        decide(
            GOOD_ENOUGH,
            ("$verdict.passed", passed),
            otherwise=EXPLAIN,
            assign={
                "failure": {
                    "state": CHECK_QUALITY,
                    "log": "training",
                    "name": jsonata("$model_version"),
                    "error": {"Error": "QualityError", "Cause": jsonata("$verdict.sentence")},
                }
            },
        ),
    )

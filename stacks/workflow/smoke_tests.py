"""One question to the endpoint: does it answer what is published, or what the batch transform scored?"""

from __future__ import annotations

from stacks.workflow.states import EXPLAIN, States, decide, invoke, jsonata, merge

ASK = "Ask the endpoint one question"
ASK_FOR_SCORE = "Ask the endpoint for one score"
AGREES = "Does the endpoint answer as the batch did?"


def ask(*, next_state: str) -> States:
    """All states that ask; `next_state` follows a right answer."""
    remembered = {
        "endpoint": jsonata("$merge([$endpoint, {'answer': $states.result.Payload}])"),
        "answer": jsonata("$states.result.Payload"),
        "asking": jsonata("$states.context.State.Name"),
    }
    return merge(
        invoke(
            ASK,
            "${AskEndpoint}",
            {
                "endpoint_name": jsonata("$endpoint.name"),
                "manifest_uri": jsonata("$manifest_uri"),
                "embeddings_uri": jsonata("$embeddings.uri"),
                "table": "${Table}",
                "exclude_seen": jsonata("$serving.exclude_seen"),
                "filters": jsonata("$serving.filters"),
            },
            assign=remembered,
            next_state=AGREES,
        ),
        invoke(
            ASK_FOR_SCORE,
            "${AskForScore}",
            {
                "endpoint_name": jsonata("$endpoint.name"),
                "manifest_uri": jsonata("$manifest_uri"),
                "scores_uri": jsonata("$scores_uri"),
            },
            assign=remembered,
            next_state=AGREES,
        ),
        decide(
            AGREES,
            ("$answer.passed", next_state),
            otherwise=EXPLAIN,
            assign={
                "failure": {
                    "state": jsonata("$asking"),
                    "log": "endpoint",
                    "name": jsonata("$endpoint.name"),
                    "error": {"Error": "WrongAnswerError", "Cause": jsonata("$answer.sentence")},
                }
            },
        ),
    )

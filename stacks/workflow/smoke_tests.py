"""Smoke tests of the endpoint: does it return what is published, or what the batch transform scored?"""

from __future__ import annotations

from stacks.workflow.state_builders import EXPLAIN, States, decide, invoke, jsonata, merge

SMOKE_TEST = "Smoke-test the endpoint"
SMOKE_TEST_SCORING = "Smoke-test the scoring endpoint"
AGREES = "Does the endpoint match the batch results?"


def smoke_test(*, next_state: str) -> States:
    """Both smoke tests; `next_state` follows a matching answer."""
    remembered = {
        "endpoint": jsonata("$merge([$endpoint, {'answer': $states.result.Payload}])"),
        "answer": jsonata("$states.result.Payload"),
        "smoke_test": jsonata("$states.context.State.Name"),
    }
    return merge(
        invoke(
            SMOKE_TEST,
            "${SmokeTestEndpoint}",
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
            SMOKE_TEST_SCORING,
            "${SmokeTestScoring}",
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
                    "state": jsonata("$smoke_test"),
                    "log": "endpoint",
                    "name": jsonata("$endpoint.name"),
                    "error": {"Error": "WrongAnswerError", "Cause": jsonata("$answer.sentence")},
                }
            },
        ),
    )

"""How a run ends: with a report, or in the one state that says what failed; a message goes out either way."""

from __future__ import annotations

from fmrec.artifacts import layout
from stacks.workflow.names import of_dataset
from stacks.workflow.quality_gate import CHAMPION, FOR_LISTS
from stacks.workflow.state_builders import (
    EXPLAIN,
    LAMBDA_ERRORS,
    SNS_ERRORS,
    States,
    invoke,
    jsonata,
    merge,
    retry,
    task,
)
from stacks.workflow.training import DATA

REPORT = "Write the run report"
NOTIFY_SUCCESS = "Send the success notification"
DONE = "The run succeeded"
NOTIFY_FAILURE = "Send the failure notification"
FAILED = "The run failed"

SNS_SUBJECT = 100
CHAMPION_FIELDS = ", ".join(
    f"'{name}': ${variable}"
    for name, variable in {
        **{name: name for name in ("task", "model_version", "model_uri", "manifest_uri", "execution_arn")},
        "embeddings_uri": "embeddings.uri",
        "model_package_arn": "model_package.arn",
        "previous": "promotion.previous",
    }.items()
)

MODEL_RUN = "$exists($promotion.run) ? $promotion.run : $run"
"""The run that trained the model: a promotion has trained none."""

SERVED = jsonata(
    of_dataset(f"{DATA}/{layout.CHAMPION}", f"'{layout.SCORING_RECORD.removeprefix(layout.CHAMPION)}'", "/")
)
"""Where it is recorded what the scoring endpoint answers with (`fmrec.predictions.served_model`)."""
SCORES_PAIRS = "$task = 'predict-rating' and $endpoint.status = 'InService'"
SERVED_FIELDS = ", ".join(
    f"'{name}': {value}"
    for name, value in {
        **{name: f"${name}" for name in ("run", "model_version", "model_uri", "manifest_uri")},
        "decision_uri": "$exists($decision.uri) ? $decision.uri : ''",
        "endpoint_name": "$endpoint.name",
    }.items()
)


def success() -> States:
    names = (
        *(
            "run",
            "task",
            "started",
            "started_by",
            "execution_arn",
            "dataset_name",
            "dataset",
            "encoded_uri",
            "hyperparameters",
        ),
        *("serving", "sizes", "plan"),
        *(
            "chosen",
            "refusals",
            "jobs",
            "metrics",
            "evaluation",
            "verdict",
            "embeddings",
            "model_version",
            "model_uri",
            "model_uris",
            "model_package",
            "promotion",
            "tuned",
            "by_shape",
            "drift",
        ),
        *("published", "decision", "endpoint"),
    )
    return merge(
        invoke(
            REPORT,
            "${WriteReport}",
            {
                "report": {name: jsonata(f"${name}") for name in names},
                "report_uri": jsonata("$report_uri"),
                "champion": jsonata(f"{FOR_LISTS} ? {{'run': {MODEL_RUN}, {CHAMPION_FIELDS}}} : null"),
                "champion_uri": CHAMPION,
                "served": jsonata(f"{SCORES_PAIRS} ? {{{SERVED_FIELDS}}} : null"),
                "served_uri": SERVED,
            },
            assign={"message": jsonata("$states.result.Payload")},
            next_state=NOTIFY_SUCCESS,
        ),
        task(
            NOTIFY_SUCCESS,
            "PublishMessage",
            {
                "TopicArn": "${Topic}",
                "Subject": jsonata("$message.subject"),
                "Message": jsonata("$message.message"),
            },
            retries=[retry(*SNS_ERRORS)],
            timeout_seconds=60,
            next_state=DONE,
        ),
        {
            DONE: {
                "Type": "Succeed",
                "Output": {
                    "run": jsonata("$run"),
                    "report": jsonata("$report_uri"),
                    "table": jsonata("$published.table"),
                    "users": jsonata("$published.users"),
                    "recommendations": jsonata("$published.recommendations"),
                    "metrics": jsonata("$metrics"),
                    "verdict": jsonata("$verdict"),
                    "decision": jsonata("$exists($decision.sentence) ? $decision.sentence : null"),
                    "endpoint": jsonata("$endpoint"),
                    "model_version": jsonata("$model_version"),
                },
            }
        },
    )


def failure_path() -> States:
    """One way for every failure. Should explaining fail too, the bare error is passed on."""
    explain = invoke(
        EXPLAIN,
        "${ExplainFailure}",
        {"failure": jsonata("$failure"), "execution_arn": jsonata("$execution_arn")},
        assign={"explanation": jsonata("$states.result.Payload")},
        timeout_seconds=120,
        next_state=NOTIFY_FAILURE,
    )
    explain[EXPLAIN]["Retry"] = [retry(*LAMBDA_ERRORS, attempts=4)]
    explain[EXPLAIN]["Catch"] = [
        {
            "ErrorEquals": ["States.ALL"],
            "Assign": {
                "explanation": {
                    "error": jsonata("$exists($failure.error.Error) ? $failure.error.Error : 'Unknown'"),
                    "sentence": jsonata(
                        "$substring($failure.state & ' failed: ' & $string($failure.error), 0, 8000)"
                    ),
                    "subject": jsonata(f"$substring('Run ' & $run & ' failed', 0, {SNS_SUBJECT})"),
                }
            },
            "Next": NOTIFY_FAILURE,
        }
    ]
    notify = task(
        NOTIFY_FAILURE,
        "PublishMessage",
        {
            "TopicArn": "${Topic}",
            "Subject": jsonata("$explanation.subject"),
            "Message": jsonata("$explanation.sentence"),
        },
        retries=[retry(*SNS_ERRORS, attempts=4)],
        timeout_seconds=60,
        next_state=FAILED,
    )
    # Nobody may hear of it, but the execution must still end with the sentence.
    notify[NOTIFY_FAILURE]["Catch"] = [{"ErrorEquals": ["States.ALL"], "Next": FAILED}]
    return merge(
        explain,
        notify,
        {
            FAILED: {
                "Type": "Fail",
                "Error": jsonata("$explanation.error"),
                "Cause": jsonata("$explanation.sentence"),
            }
        },
    )

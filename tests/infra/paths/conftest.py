"""The workflow on scripted answers: what each state is answered with, unless a test says otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fmrec.artifacts.manifest import Manifest
from fmrec.execution.data_bucket import DataBucket
from fmrec.execution.execution_input import resolve
from fmrec.execution.trial_rounds import propose
from stacks.settings import Settings
from stacks.workflow import definition as workflow_definition
from tests.fixtures.manifests import manifest

STEPS = (
    "fm_training",
    "fm_trials",
    "knn_training",
    "batch_transform",
    "knn_endpoint",
    "fm_transform",
    "fm_endpoint",
)


class Encoded(DataBucket):
    """A bucket in which every run has encoded."""

    def read_manifest(self, run: str) -> Manifest:
        return manifest(run)


def _candidates(*types: Any) -> Any:
    return [
        {
            "instance_type": kind,
            "instance_count": 1,
            "volume_size_gb": 30,
            "usd_per_hour": 0.115,
            "why": f"{kind} is cheap",
        }
        for kind in types
    ]


BY_SHAPE = {"num_factors": "64", "epochs": "4", "mini_batch_size": "1000", "factors_lr": "0.003"}
"""What the data's shape is said to give."""


def _choose(arguments: Any) -> Any:
    """Answer with a plan, and with the hyperparameters that the data's shape gives where none were given."""
    given = arguments["Payload"]["hyperparameters"]
    chosen = {name: value for name, value in BY_SHAPE.items() if name not in given}
    by_shape = {"shape": {"picks": 52_529}, "hyperparameters": chosen} if chosen else None
    planned = _planned()
    planned["Payload"] |= {"hyperparameters": {**given, **chosen}, "by_shape": by_shape}
    return planned


def _planned(**steps: Any) -> Any:
    """A plan in which every step has the same three candidates, unless told otherwise."""
    plan = {
        step: {
            "needed": True,
            "needs": {"parallel_jobs": 1},
            "candidates": _candidates("ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"),
            "rejected": [],
            "no_candidate": None,
            "quota_increase": None,
        }
        for step in STEPS
    }
    plan["fm_trials"]["seconds"] = {"training": 60.0, "fixed": 120.0}
    for step, changes in steps.items():
        plan[step] |= changes
    sizes = {"feature_dim": 2625, "users": 943, "items": 1682, "rows": 90570, "test_rows": 9430, "models": 1}
    return {
        "Payload": {
            "sizes": sizes,
            "steps": plan,
            "neighbours": 10,
            "cost": {"total_usd": 0.12},
            "notes": [],
            "hyperparameters": {"num_factors": "64", "epochs": "4"},
            "by_shape": None,
        }
    }


@pytest.fixture
def planned() -> Callable[..., Any]:
    """Make a plan in which every step has the same three candidates, with changes by step."""
    return _planned


@pytest.fixture
def endpoint() -> dict[str, Any]:
    """The endpoint as AWS has it: not there yet."""
    return {"status": None, "config": None}


@pytest.fixture
def answers(endpoint: dict[str, Any], task_error: Any) -> dict[str, Any]:
    """What AWS answers in a run without trouble, by state."""

    def describe_endpoint(arguments: Any) -> Any:
        return {"EndpointStatus": endpoint["status"], "EndpointConfigName": endpoint["config"]}

    def look(arguments: Any) -> Any:
        if endpoint["status"] is None:
            raise task_error("SageMaker.SageMakerException", 'Could not find endpoint "arn:x".')
        return describe_endpoint(arguments)

    def deploy(arguments: Any) -> Any:
        endpoint.update(status="InService", config=arguments["EndpointConfigName"])
        return {"EndpointArn": "arn:x"}

    def remove(arguments: Any) -> Any:
        endpoint.update(status=None, config=None)
        return {}

    def trained(arguments: Any) -> Any:
        name = arguments["TrainingJobName"]
        return {
            "TrainingJobName": name,
            "TrainingJobStatus": "Completed",
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://b/models/{name}/output/model.tar.gz"},
            "FinalMetricDataList": [
                {"MetricName": "test:binary_classification_accuracy", "Value": 0.71, "Timestamp": 1.0},
                {"MetricName": "test:binary_f_beta", "Value": 0.76, "Timestamp": 1.0},
            ],
            "TrainingTimeInSeconds": 61,
            "BillableTimeInSeconds": 61,
        }

    def check_input(arguments: Any) -> Any:
        event = arguments["Payload"]
        return {
            "Payload": resolve(event["run"], event["input"], event["defaults"], Encoded("s3://${DataBucket}"))
        }

    return {
        "Check the input": check_input,
        "Encode the interactions": lambda a: {"JobName": a["JobName"], "Id": "jr_1", "ExecutionTime": 60},
        "Compare the data with the champion's": lambda a: {
            "Payload": {"stopped": False, "sentence": "Alike.", "before": "r", "measures": {}, "findings": []}
        },
        "Choose instances": _choose,
        "Train the factorization machine": trained,
        "Train one model of the ensemble": trained,
        "Evaluate the ranking": lambda a: {
            "Payload": {"k": 10, "judged_against": "", "model": {"metrics": {"ndcg_at_10": 0.3}}}
        },
        "Acquire the publishing lock": lambda a: {
            "Payload": {"acquired": True, "holder": a["Payload"]["execution_arn"], "champion_changed": False}
        },
        "Compare the lists with the champion's": lambda a: {"Payload": {"sentence": "9 of 10 stayed."}},
        "Remove lists of departed users": lambda a: {"Payload": {"removed": 3}},
        "Check the quality": lambda a: {"Payload": {"passed": True, "sentence": "Good enough."}},
        "Register the model": lambda a: {
            "Payload": {
                "group": a["Payload"]["group"],
                "version": 1,
                "arn": "arn:aws:sagemaker:eu-west-1:000000000000:model-package/"
                + a["Payload"]["group"]
                + "/1",
                "status": "Approved",
                "record_uri": a["Payload"]["record_uri"],
            }
        },
        "Approve the promoted model": lambda a: {"ModelPackageArn": a["ModelPackageArn"]},
        "Encode the validation split": lambda a: {"JobName": a["JobName"], "Id": "jr_2", "ExecutionTime": 50},
        "Choose instances for tuning": _choose,
        "Tune the hyperparameters": lambda a: {
            "HyperParameterTuningJobName": a["HyperParameterTuningJobName"],
            "HyperParameterTuningJobStatus": "Completed",
            "TrainingJobStatusCounters": {"Completed": 2, "NonRetryableError": 0},
            "BestTrainingJob": {
                "TrainingJobName": f"{a['HyperParameterTuningJobName']}-002-abcdef12",
                "TunedHyperParameters": {"factors_lr": "0.0123"},
                "FinalHyperParameterTuningJobObjectiveMetric": {
                    "MetricName": "test:binary_classification_cross_entropy",
                    "Value": 0.53,
                },
            },
        },
        "Propose the next trials": lambda a: {"Payload": propose(a["Payload"])},
        "Train a trial": trained,
        "Export the embeddings of a trial": lambda a: {
            "Payload": {"uri": a["Payload"]["output_uri"] + "embeddings.json"}
        },
        "Evaluate the ranking of a trial": lambda a: {
            "Payload": {"k": 10, "model": {"metrics": {"ndcg_at_10": 0.3}}}
        },
        "Export the embeddings": lambda a: {
            "Payload": {
                "uri": a["Payload"]["output_uri"] + "embeddings.json",
                "dim": 65,
                "users": 943,
                "items": 1682,
                "item_parts": 1,
                "query_parts": 1,
            }
        },
        "Build the k-NN index": trained,
        "Create the k-NN model": lambda a: {"ModelArn": "arn:x"},
        "Generate recommendations for all users": lambda a: {"TransformJobName": a["TransformJobName"]},
        "Create the scoring model": lambda a: {"ModelArn": "arn:x"},
        "Score the held-out pairs": lambda a: {"TransformJobName": a["TransformJobName"]},
        "Choose the decision threshold": lambda a: {
            "Payload": {
                "threshold": 0.47,
                "sentence": "A score of 0.47 or more means yes.",
                "uri": a["Payload"]["output_uri"] + "decision.json",
            }
        },
        "Publish a batch of users": lambda a: {"Payload": {"users": 943, "recommendations": 9430}},
        "Publish popular items": lambda a: {"Payload": {"lists": 1}},
        "Look up the endpoint": look,
        "Configure the endpoint": lambda a: {"EndpointConfigArn": "arn:x"},
        "Create the endpoint": deploy,
        "Update the endpoint": deploy,
        "Update the endpoint without guardrails": deploy,
        "Deregister the endpoint from scaling": lambda a: {},
        "Register the endpoint for scaling": lambda a: {"ScalableTargetARN": "arn:x"},
        "Set the endpoint's scaling policy": lambda a: {"PolicyARN": "arn:x", "Alarms": []},
        "Delete the failed endpoint": remove,
        "Check the endpoint status": describe_endpoint,
        "Smoke-test the endpoint": lambda a: {"Payload": {"passed": True, "sentence": "The same."}},
        "Smoke-test the scoring endpoint": lambda a: {"Payload": {"passed": True, "sentence": "The same."}},
        "Write the run report": lambda a: {
            "Payload": {"uri": a["Payload"]["report_uri"], "subject": "S", "message": "M"}
        },
        "Send the success notification": lambda a: {},
        "Explain the failure": lambda a: {
            "Payload": {"error": "Explained", "sentence": json.dumps(a["Payload"]["failure"]), "subject": "S"}
        },
        "Send the failure notification": lambda a: {},
    }


@pytest.fixture
def run(definition: Any, machine: Any, answers: Any, endpoint: Any) -> Any:
    """Run the deployed definition with these answers in place of some of the usual ones."""

    def start(given: Any = None, status: Any = None, **changed: Any) -> Any:
        endpoint.update(status=status, config="old" if status else None)
        started = machine(definition, {**answers, **{k.replace("_", " "): v for k, v in changed.items()}})
        outcome = started.run({} if given is None else given)
        return started, outcome

    return start


@pytest.fixture
def run_with(machine: Any, answers: Any, endpoint: Any) -> Any:
    """Run the definition of other settings."""

    def start(last_resort: Any, status: Any = None, **changed: Any) -> Any:
        endpoint.update(status=status, config="old" if status else None)
        settings = Settings.model_validate({"instances": {"last_resort": last_resort}})
        started = machine(workflow_definition(settings), {**answers, **changed})
        return started, started.run({})

    return start

"""Refused and missing instances: the next candidate, the end of them, and waiting."""

import json
from typing import Any

import pytest

REFUSAL = (
    "The account-level service limit '{quota}' is {limit} Instances, with current utilization of {used} "
    "Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase "
    "for this quota."
)
CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML "
    "instance type."
)


@pytest.fixture
def refuse_first(answers: Any) -> Any:
    """An answer that refuses some instance types and otherwise is the usual one of the state."""

    def make(state: Any, refused: Any, error: Any) -> Any:
        def answer(arguments: Any) -> Any:
            where = arguments.get("ResourceConfig") or arguments.get("TransformResources")
            if where["InstanceType"] in refused:
                raise error
            return answers[state](arguments)

        return answer

    return make


def calls(started: Any, state: Any) -> Any:
    return [arguments for name, arguments in started.calls if name == state]


def quota_refusal(task_error: Any, quota: Any, limit: Any = 0, used: Any = 0) -> Any:
    return task_error(
        "SageMaker.ResourceLimitExceededException", REFUSAL.format(quota=quota, limit=limit, used=used)
    )


def failure_of(outcome: Any) -> Any:
    status, output = outcome
    assert status == "FAILED"
    return json.loads(output["Cause"])


def in_use(planned: Any, step: Any) -> Any:
    """A plan in which every type of a step is taken by something that will end."""
    quota = {"name": "ml.m5.large for training job usage", "limit": 1, "used": 1, "waiting_can_help": True}
    return planned(
        **{
            step: {
                "candidates": [],
                "rejected": [{"instance_type": "ml.m5.large", "why": "in use", "quota": quota}],
                "no_candidate": "every type is in use",
            }
        }
    )


@pytest.mark.parametrize(
    "state",
    ["Train the factorization machine", "Build the k-NN index", "Generate recommendations for all users"],
)
def test_a_refused_quota_moves_on_to_the_next_candidate_under_a_new_name(
    run: Any, refuse_first: Any, task_error: Any, state: Any
) -> None:
    error = quota_refusal(task_error, "ml.m5.large for training job usage")
    started, (status, _) = run({}, **{state: refuse_first(state, {"ml.m5.large"}, error)})

    assert status == "SUCCEEDED"
    tried = calls(started, state)
    where = [(a.get("ResourceConfig") or a["TransformResources"])["InstanceType"] for a in tried]
    assert where == ["ml.m5.large", "ml.m5.xlarge"]
    names = [a.get("TrainingJobName") or a["TransformJobName"] for a in tried]
    assert [name[-2:] for name in names] == ["-1", "-2"]
    (refusal,) = calls(started, "Write the run report")[0]["Payload"]["report"]["refusals"]
    assert refusal["instance_type"] == "ml.m5.large"
    assert "is 0 Instances" in refusal["cause"]
    assert refusal["waiting_can_help"] is False


@pytest.mark.parametrize(
    "state",
    ["Train the factorization machine", "Build the k-NN index", "Generate recommendations for all users"],
)
def test_missing_capacity_moves_on_to_the_next_candidate(
    run: Any, refuse_first: Any, task_error: Any, state: Any
) -> None:
    error = task_error("States.TaskFailed", json.dumps({"FailureReason": CAPACITY}))
    started, (status, _) = run({}, **{state: refuse_first(state, {"ml.m5.large", "ml.m5.xlarge"}, error)})

    assert status == "SUCCEEDED"
    assert len(calls(started, state)) == 3
    refusals = calls(started, "Write the run report")[0]["Payload"]["report"]["refusals"]
    assert [r["instance_type"] for r in refusals] == ["ml.m5.large", "ml.m5.xlarge"]
    assert {r["waiting_can_help"] for r in refusals} == {True}


def test_when_every_candidate_is_refused_the_failure_names_all_refusals(run: Any, task_error: Any) -> None:
    def refuse(arguments: Any) -> None:
        kind = arguments["ResourceConfig"]["InstanceType"]
        raise quota_refusal(task_error, f"{kind} for training job usage")

    started, outcome = run({}, **{"Train the factorization machine": refuse})

    failure = failure_of(outcome)
    assert failure["error"]["Error"] == "NoInstanceLeft"
    assert [r["instance_type"] for r in failure["refused"]] == ["ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"]
    assert len(calls(started, "Train the factorization machine")) == 3


def test_when_the_plan_has_no_candidate_nothing_is_tried_and_the_reason_is_passed_on(
    run: Any, planned: Any
) -> None:
    plan = planned(
        fm_training={"candidates": [], "no_candidate": "too large", "quota_increase": {"sentence": "ask"}}
    )
    started, outcome = run({}, **{"Choose instances": lambda a: plan})

    failure = failure_of(outcome)
    assert failure["planned"] == {"no_candidate": "too large", "quota_increase": {"sentence": "ask"}}
    assert failure["refused"] == []
    assert calls(started, "Train the factorization machine") == []


@pytest.mark.parametrize(
    ("step", "title", "policy"),
    [
        ("fm_training", "FM training", {"training": "wait"}),
        ("knn_training", "k-NN training", {"training": "wait"}),
        ("batch_transform", "batch transform", {"transform": "wait"}),
        ("knn_endpoint", "the endpoint", {"endpoint": "wait"}),
    ],
)
def test_waiting_asks_again_until_an_instance_is_free(
    run_with: Any, step: Any, title: Any, policy: Any, planned: Any
) -> None:
    plans = [in_use(planned, step), planned()]
    again = f"Choose instances again for {title}"
    started, (status, _) = run_with(
        policy, **{"Choose instances": lambda a: in_use(planned, step), again: lambda a: plans.pop(0)}
    )

    assert status == "SUCCEEDED"
    assert started.visited.count(f"Wait for an instance for {title}") == 2


def test_waiting_starts_again_after_refusals_that_will_pass_under_names_not_used_before(
    run_with: Any, answers: Any, task_error: Any, planned: Any
) -> None:
    usual = answers["Train the factorization machine"]
    tried = []

    def train(arguments: Any) -> Any:
        tried.append(arguments["TrainingJobName"])
        if len(tried) <= 3:
            raise quota_refusal(task_error, "Number of instances across all training jobs", limit=4, used=4)
        return usual(arguments)

    _, (status, _) = run_with(
        {"training": "wait"},
        **{
            "Train the factorization machine": train,
            "Choose instances again for FM training": lambda a: planned(),
        },
    )

    assert status == "SUCCEEDED"
    assert tried == [f"fmrec-run-1-fm-{attempt}" for attempt in (1, 2, 3, 4)]


def test_waiting_ends_when_settings_say_so(run_with: Any, planned: Any) -> None:
    started, outcome = run_with(
        {"training": "wait", "wait_minutes": 30},
        **{
            "Choose instances": lambda a: in_use(planned, "fm_training"),
            "Choose instances again for FM training": lambda a: in_use(planned, "fm_training"),
        },
    )

    assert failure_of(outcome)["planned"]["no_candidate"] == "every type is in use"
    assert started.waited == 30 * 60


def test_nobody_waits_for_a_quota_that_is_too_small_for_the_request(run_with: Any, task_error: Any) -> None:
    def refuse(arguments: Any) -> None:
        raise quota_refusal(task_error, "ml.m5.large for training job usage", limit=0)

    started, outcome = run_with({"training": "wait"}, **{"Train the factorization machine": refuse})

    assert failure_of(outcome)["error"]["Error"] == "NoInstanceLeft"
    assert started.waited == 0

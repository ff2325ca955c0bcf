"""Try one instance after the other: the fragment that training, transform and the endpoint share.

Two refusals move on to the next candidate, without a Lambda in between: a quota, which refuses the
call at once (``SageMaker.ResourceLimitExceededException``), and missing capacity, which a job or an
endpoint reports minutes later in its ``FailureReason``. Anything else is no question of instances.

Variables: ``candidates``, ``candidate_index`` and ``candidate`` of the step that is under way,
``attempt`` counts a step's tries (SageMaker takes no name twice), ``refused`` holds this round's
refusals, ``refusals`` all of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fmrec.artifacts import layout
from stacks.workflow.names import ENDPOINT_ENDS, infix, of_dataset
from stacks.workflow.state_builders import (
    EXPLAIN,
    State,
    States,
    decide,
    failure,
    invoke,
    jsonata,
    merge,
    remember,
    wait,
)

QUOTA_REFUSED = "SageMaker.ResourceLimitExceededException"
WAIT_MINUTES = 5
STEPS = ("fm_training", "fm_trials", "knn_training", "batch_transform", "fm_transform", "endpoint_step")
"""What ``waited_…`` variables there are."""
NO_CAPACITY = r"/InsufficientInstanceCapacity|Unable to provision requested ML compute capacity/"
SERVED = of_dataset(
    f"s3://${{DataBucket}}/{layout.CHAMPION}",
    f"($task = 'recommend' ? '{layout.MODEL_RECORD}' : '{layout.SCORING_RECORD.removeprefix(layout.CHAMPION)}')",
    "/",
)
"""An expression for the record of what the run would replace."""
ENDPOINT_NAMES = (
    "{"
    + ", ".join(f"'{step}': $name_prefix & {infix('-')} & '{end}'" for step, end in ENDPOINT_ENDS.items())
    + "}"
)
"""An expression for the endpoints that the run creates or updates: an update needs room for two fleets."""
REFUSAL_NUMBERS = (
    r"/is ([\d.,]+) \w+, with current utilization of [\d.,]+ \w+ and a request delta of ([\d.,]+)/"
)


def choose(
    state: str,
    *,
    next_state: str,
    ensemble: Any = "{% $ensemble %}",
    tuning: str | None = None,
) -> States:
    """Ask for a plan by what the account has now, and for hyperparameters that nobody gave; `ensemble`:
    training jobs at the same time; `tuning`: an expression for the limits of trials, or for null.
    """
    return invoke(
        state,
        "${ChooseInstances}",
        {
            "manifest_uri": jsonata("$manifest_uri"),
            "hyperparameters": jsonata("$hyperparameters"),
            "serving": jsonata(
                f"$merge([$serving, {{'endpoint_names': {ENDPOINT_NAMES}, 'scaling': $scaling}}])"
            ),
            "task": jsonata("$task"),
            "served_uri": jsonata(f"$replace_catalogue ? null : {SERVED}"),
            "ensemble": ensemble,
            "tuning": None if tuning is None else jsonata(tuning),
        },
        assign={
            "plan": jsonata("$states.result.Payload"),
            "sizes": jsonata("$states.result.Payload.sizes"),
            "serving": jsonata("$merge([$serving, {'neighbours': $states.result.Payload.neighbours}])"),
            "hyperparameters": jsonata("$states.result.Payload.hyperparameters"),
            # Asked again, all of them are given.
            "by_shape": jsonata(
                "$type($states.result.Payload.by_shape) = 'object' ? $states.result.Payload.by_shape : $by_shape"
            ),
        },
        next_state=next_state,
    )


@dataclass(frozen=True)
class Candidates:
    """The loop around one step.

    Parameters
    ----------
    step
        The step's key in the plan, such as ``fm_training``, or a variable that holds it, such as
        ``$endpoint_step``.
    title
        What a person calls it, such as ``FM training``: part of the states' names.
    tuning
        An expression for the limits of trials, where it is their instances that are chosen.
    """

    step: str
    title: str
    tuning: str | None = None

    @property
    def key(self) -> str:
        """An expression for the step's key in the plan."""
        return self.step if self.step.startswith("$") else f"'{self.step}'"

    @property
    def planned(self) -> str:
        """An expression for what the plan says of the step."""
        return f"$lookup($plan.steps, {self.key})"

    @property
    def take(self) -> str:
        return f"Load the instance candidates for {self.title}"

    @property
    def next_candidate(self) -> str:
        return f"Is an instance candidate left for {self.title}?"

    @property
    def capacity_question(self) -> str:
        return f"Was capacity unavailable for {self.title}?"

    def states(self, *, attempt: str, exhausted: str, before: str | None = None) -> States:
        """The loop's own states.

        `before`, if there is one, comes once, ahead of the first try; `attempt` is the first state of
        each try; `exhausted` follows the last.
        """
        return merge(
            remember(
                self.take,
                {
                    "candidates": jsonata(f"[{self.planned}.candidates]"),
                    "candidate_index": 0,
                    "refused": [],
                },
                next_state=before or self.next_candidate,
            ),
            decide(
                self.next_candidate,
                (
                    "$candidate_index < $count($candidates)",
                    attempt,
                    {
                        "candidate": jsonata("$candidates[$candidate_index]"),
                        "candidate_index": jsonata("$candidate_index + 1"),
                        "attempt": jsonata(f"$count($refusals[step = {self.key}]) + 1"),
                    },
                ),
                otherwise=exhausted,
            ),
        )

    def capacity_states(self) -> States:
        """Tell missing capacity from other reasons for which a job failed."""
        return decide(
            self.capacity_question,
            (f"$contains($failure.error.Cause & '', {NO_CAPACITY})", *self.go_on("$failure.error")),
            otherwise=EXPLAIN,
        )

    def go_on(self, error: str) -> tuple[str, dict[str, Any]]:
        """Where to go after a refusal, and the variables that record it."""
        record = self.record(error)
        return self.next_candidate, {
            "refused": jsonata(f"$append($refused, [{record}])"),
            "refusals": jsonata(f"$append($refusals, [{record}])"),
        }

    def catches(self, state: str, log: str, log_name: str) -> tuple[State, ...]:
        """Catchers of a task that starts a job and waits for its end."""
        return (
            self.catch_quota(),
            {
                "ErrorEquals": ["States.TaskFailed"],
                "Assign": {"failure": failure(state, log, log_name)},
                "Next": self.capacity_question,
            },
        )

    def catch_quota(self) -> State:
        """Catcher of a call that a quota may refuse."""
        next_state, variables = self.go_on("$states.errorOutput")
        return {"ErrorEquals": [QUOTA_REFUSED], "Assign": variables, "Next": next_state}

    @property
    def waiting_question(self) -> str:
        return f"Can waiting help {self.title}?"

    @property
    def give_up(self) -> str:
        return f"Report that no instance is left for {self.title}"

    def exhausted(self, last_resort: str) -> str:
        """The state that follows the last candidate."""
        return self.waiting_question if last_resort == "wait" else self.give_up

    def last_resort_states(self, last_resort: str, wait_minutes: int) -> States:
        """Wait, as long as settings allow and where it can help, or fail."""
        if last_resort != "wait":
            return self.none_left()
        waited = f"waited_{self.step.lstrip('$')}"
        pause = f"Wait for an instance for {self.title}"
        again = f"Choose instances again for {self.title}"
        helps = f"true in {self.planned}.rejected.quota.waiting_can_help or true in $refused.waiting_can_help"
        return merge(
            decide(
                self.waiting_question,
                (f"${waited} < {wait_minutes} and ({helps})", pause),
                otherwise=self.give_up,
            ),
            wait(
                pause,
                WAIT_MINUTES * 60,
                assign={waited: jsonata(f"${waited} + {WAIT_MINUTES}")},
                next_state=again,
            ),
            choose(again, next_state=self.take, tuning=self.tuning),
            self.none_left(),
        )

    def none_left(self) -> States:
        """Fail because no instance is left; `fmrec.execution.failures` finds the quota to ask for."""
        return remember(
            self.give_up,
            {
                "failure": {
                    "state": self.next_candidate,
                    "step": jsonata(self.key),
                    "log": "",
                    "name": "",
                    "refused": jsonata("$refused"),
                    "planned": jsonata(
                        f"{self.planned}.{{'no_candidate': no_candidate, 'quota_increase': quota_increase}}"
                    ),
                    "error": {"Error": "NoInstanceLeft", "Cause": ""},
                }
            },
            next_state=EXPLAIN,
        )

    @property
    def priced_each(self) -> str:
        """An expression for the candidates at the price of one job: a plan's is that of all jobs at once."""
        return (
            f"( $jobs := {self.planned}.needs.parallel_jobs; [{self.planned}.candidates.$merge([$, "
            "{'usd_per_hour': $type(usd_per_hour) = 'number' ? usd_per_hour / $jobs : null}])] )"
        )

    def next_of(self, variable: str, number: str, *, state: str, attempt: str, otherwise: str) -> States:
        """Take the next candidate in an iteration of a Map, whose variables begin with ``variable_``.

        Parameters
        ----------
        number
            An expression for which iteration it is; refusals have it under the name ``variable``.
        state, attempt, otherwise
            The question's name, and where it leads to with and without a candidate.
        """
        return decide(
            state,
            (
                f"${variable}_candidate_index < $count(${variable}_candidates)",
                attempt,
                {
                    f"{variable}_candidate": jsonata(f"${variable}_candidates[${variable}_candidate_index]"),
                    f"{variable}_candidate_index": jsonata(f"${variable}_candidate_index + 1"),
                    f"{variable}_attempt": jsonata(
                        f"$count($refusals[step = {self.key} and {variable} = {number}]) "
                        f"+ $count(${variable}_refused) + 1"
                    ),
                },
            ),
            otherwise=otherwise,
        )

    def note_refusal(self, variable: str, number: str, error: str) -> State:
        """Variables that keep what was refused in an iteration of a Map (``next_of``)."""
        record = self.record(error, f"${variable}_candidate")
        refused = f"{variable}_refused"
        return {refused: jsonata(f"$append(${refused}, [$merge([{record}, {{'{variable}': {number}}}])])")}

    def record(self, error: str, candidate: str = "$candidate") -> str:
        """An expression for what was refused, and whether it may be free later."""
        cause = f"$substring({error}.Cause & '', 0, 2000)"
        return (
            f"( $cause := {cause}; $numbers := $match($cause, {REFUSAL_NUMBERS})[0].groups; "
            f"{{ 'step': {self.key}, 'instance_type': {candidate}.instance_type, "
            f"'instance_count': {candidate}.instance_count, 'error': {error}.Error, "
            f"'cause': $contains($cause, {NO_CAPACITY}) "
            f"? 'AWS has no capacity of this type at the moment' : $cause, "
            f"'waiting_can_help': $exists($numbers) "
            f"? $number($replace($numbers[1], ',', '')) <= $number($replace($numbers[0], ',', '')) "
            f": $contains($cause, {NO_CAPACITY}) }} )"
        )

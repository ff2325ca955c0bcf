"""The search of one tuning job: parallel lanes of training jobs until points, time or patience end."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.platform import Platform, echo
from localcloud.sagemaker.ranges import draw, grid
from localcloud.sagemaker.records import Record
from localcloud.sagemaker.training import TrainingJobs

_DEFAULT_MOST_JOBS = 10_000
_ROOM_POLL_SECONDS = 0.25
_TRAINING_MEMBERS = (
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "RetryStrategy",
    "Environment",
)


def objective_value(job: Record, metric: str) -> float | None:
    """The objective's value of a completed training job, or None."""
    if job["TrainingJobStatus"] != "Completed":
        return None
    values = {entry["MetricName"]: entry["Value"] for entry in job.get("FinalMetricDataList", [])}
    return values.get(metric)


class TuningSearch:
    """Runs the training jobs of one tuning job.

    Parameters
    ----------
    record
        The tuning job's record.
    started
        Called with the name and the drawn hyperparameters of every training job, before it can end.
    """

    def __init__(
        self,
        platform: Platform,
        training: TrainingJobs,
        record: Record,
        started: Callable[[str, dict[str, str]], None],
    ) -> None:
        self._platform = platform
        self._training = training
        self._record = record
        self._config = record["HyperParameterTuningJobConfig"]
        self._objective = self._config["HyperParameterTuningJobObjective"]
        self._started = started
        self._points = self._draw_points()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._running: set[str] = set()

    def run(self) -> None:
        """Search until there is nothing left to try, or ``halt``."""
        limits = self._config["ResourceLimits"]
        timer = threading.Timer(limits.get("MaxRuntimeInSeconds", threading.TIMEOUT_MAX), self.halt)
        timer.daemon = True
        timer.start()
        lanes = [
            threading.Thread(target=self._lane, daemon=True) for _ in range(limits["MaxParallelTrainingJobs"])
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        timer.cancel()

    def halt(self) -> None:
        """Start no more training jobs, and stop those that run."""
        with self._lock:
            self._over.set()
            for name in self._running:
                self._training.stop({"TrainingJobName": name})

    def _lane(self) -> None:
        """One training job after the other."""
        while name := self._start_next():
            job = self._training.wait(name)
            with self._lock:
                self._running.discard(name)
            value = objective_value(job, self._objective["MetricName"])
            if value is not None and self._good_enough(value):
                self.halt()

    def _start_next(self) -> str | None:
        """Start a training job on the next point, as soon as the quotas have room for it."""
        with self._lock:
            number, values = next(self._points, (0, {}))
        if not number:
            return None
        name = f"{self._record['HyperParameterTuningJobName']}-{number:03d}-{uuid.uuid4().hex[:8]}"
        while True:
            with self._lock:
                if self._over.is_set() or self._platform.closing.is_set():
                    return None
                try:
                    self._training.create(
                        self._request(name, values), self._record["HyperParameterTuningJobArn"]
                    )
                except ServiceFault as fault:
                    if fault.code != "ResourceLimitExceeded":
                        raise
                else:
                    self._running.add(name)
                    self._started(name, values)
                    return name
            self._over.wait(_ROOM_POLL_SECONDS)

    def _request(self, name: str, values: dict[str, str]) -> dict[str, Any]:
        definition = self._record["TrainingJobDefinition"]
        static = definition.get("StaticHyperParameters", {})
        return echo(definition, _TRAINING_MEMBERS) | {
            "TrainingJobName": name,
            # SageMaker sets for the container what it is tuned for (seen in its logs).
            "HyperParameters": static | values | {"_tuning_objective_metric": self._objective["MetricName"]},
        }

    def _draw_points(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The hyperparameters to try, numbered from 1."""
        most = self._config["ResourceLimits"].get("MaxNumberOfTrainingJobs", _DEFAULT_MOST_JOBS)
        ranges = self._config["ParameterRanges"]
        if self._config["Strategy"] == "Grid":
            yield from enumerate(grid(ranges), start=1)
            return
        generator = random.Random(self._config.get("RandomSeed"))  # noqa: S311 - a search, no secret
        for number in range(1, most + 1):
            yield number, draw(ranges, generator)

    def _good_enough(self, value: float) -> bool:
        target = self._config.get("TuningJobCompletionCriteria", {}).get("TargetObjectiveMetricValue")
        if target is None:
            return False
        return bool(value >= target if self._objective["Type"] == "Maximize" else value <= target)

"""Hyperparameter tuning jobs: training jobs with drawn hyperparameters, and the best of them.

Strategies ``Random`` and ``Grid`` do what they say; ``Bayesian`` draws at random here, and ``Hyperband`` is
refused. ``TrainingJobEarlyStoppingType`` is kept but stops nothing, since the stand-ins' jobs are short.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.limits import Usage, instance_demands
from localcloud.sagemaker.lists import list_records, pick
from localcloud.sagemaker.metrics import EXPRESSIONS
from localcloud.sagemaker.platform import INTERRUPTED, Platform, echo, instances_of, required
from localcloud.sagemaker.ranges import check_ranges
from localcloud.sagemaker.records import Record, now, public
from localcloud.sagemaker.requests import check_training_request
from localcloud.sagemaker.training import TrainingJobs
from localcloud.sagemaker.tuning_search import TuningSearch, objective_value

KIND = "hyper-parameter-tuning-job"
_VALUE = "_value"


class TuningJobs:
    """Create, describe, list and stop tuning jobs."""

    def __init__(self, platform: Platform, training: TrainingJobs) -> None:
        self._platform = platform
        self._training = training
        self._searches: dict[str, TuningSearch] = {}

    def create(self, parameters: dict[str, Any]) -> Record:
        """Accept or refuse a job and start it."""
        name = parameters["HyperParameterTuningJobName"]
        arn = self._platform.account.arn(KIND, name)
        self._check(parameters)
        definition = parameters["TrainingJobDefinition"]
        limits = parameters["HyperParameterTuningJobConfig"]["ResourceLimits"]
        usage: Usage = "spot training job" if definition.get("EnableManagedSpotTraining") else "training job"
        parallel = limits["MaxParallelTrainingJobs"]
        with self._platform.records.lock:
            if self._platform.records.get(KIND, name) is not None:
                raise ServiceFault(
                    "ResourceInUse",
                    f"Hyperparameter tuning job name must be unique, and {name} already exists ({arn})",
                )
            instances = instances_of(definition["ResourceConfig"])
            together = [(kind, count * parallel) for kind, count in instances]
            self._platform.limits.check(
                demand for demand in instance_demands(usage, together) if demand.shared
            )
            moment = now()
            record = echo(
                parameters,
                (
                    "HyperParameterTuningJobName",
                    "HyperParameterTuningJobConfig",
                    "TrainingJobDefinition",
                    "WarmStartConfig",
                ),
            ) | {
                "HyperParameterTuningJobArn": arn,
                "HyperParameterTuningJobStatus": "InProgress",
                "CreationTime": moment,
                "LastModifiedTime": moment,
                "_jobs": {},
            }
            self._platform.records.put(KIND, name, record)
            search = TuningSearch(
                self._platform, self._training, record, functools.partial(self._note_start, name)
            )
            self._searches[name] = search
        self._platform.run(f"tuning-{name}", self._run, name, search)
        return {"HyperParameterTuningJobArn": arn}

    def describe(self, parameters: dict[str, Any]) -> Record:
        """The job's state, its counters and the best training job so far."""
        return public(self._described(self._existing(parameters["HyperParameterTuningJobName"])))

    def page(self, parameters: dict[str, Any]) -> Record:
        """One page of tuning jobs."""

        def summarise(record: Record) -> Record:
            summary = pick(
                "HyperParameterTuningJobName",
                "HyperParameterTuningJobArn",
                "HyperParameterTuningJobStatus",
                "CreationTime",
                "HyperParameterTuningEndTime",
                "LastModifiedTime",
                "TrainingJobStatusCounters",
                "ObjectiveStatusCounters",
            )(self._described(record))
            config = record["HyperParameterTuningJobConfig"]
            return summary | {"Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}

        return list_records(
            self._platform.records.every(KIND),
            {"SortBy": "Name"} | parameters,
            answer="HyperParameterTuningJobSummaries",
            name_key="HyperParameterTuningJobName",
            status_key="HyperParameterTuningJobStatus",
            summarise=summarise,
            default_order="Ascending",
        )

    def page_of_training(self, parameters: dict[str, Any]) -> Record:
        """One page of a tuning job's training jobs."""
        summaries = self._summaries(self._existing(parameters["HyperParameterTuningJobName"]))
        if parameters.get("SortBy") == "FinalObjectiveMetricValue":
            summaries = [summary for summary in summaries if _VALUE in summary]
        return list_records(
            summaries,
            {"SortBy": "Name"} | parameters,
            answer="TrainingJobSummaries",
            name_key="TrainingJobName",
            status_key="TrainingJobStatus",
            summarise=public,
            default_order="Ascending",
            sort_keys={"FinalObjectiveMetricValue": _VALUE},
        )

    def stop(self, parameters: dict[str, Any]) -> Record:
        """Stop a running tuning job and its training jobs."""
        name = parameters["HyperParameterTuningJobName"]
        with self._platform.records.lock:
            running = self._existing(name)["HyperParameterTuningJobStatus"] == "InProgress"
            if running:
                self._platform.records.update(KIND, name, HyperParameterTuningJobStatus="Stopping")
                search = self._searches[name]
        if running:
            search.halt()  # not under the records' lock: a lane may hold its own and wait for that one
        return {}

    def recover(self) -> None:
        """After a restart: a job that was running when the server went down has failed."""
        for record in self._platform.records.every(KIND):
            if record["HyperParameterTuningJobStatus"] in ("InProgress", "Stopping"):
                self._finish(record["HyperParameterTuningJobName"], "Failed", INTERRUPTED)

    def _existing(self, name: str) -> Record:
        arn = self._platform.account.arn(KIND, name)
        return self._platform.existing(
            KIND,
            name,
            f"Amazon SageMaker can't find a tuning job with this name. Try again with a different name. ({arn})",
        )

    def _check(self, parameters: dict[str, Any]) -> None:
        config = parameters["HyperParameterTuningJobConfig"]
        if config["Strategy"] == "Hyperband":
            raise _refused("The local cloud has no strategy Hyperband.")
        if parameters.get("TrainingJobDefinitions") or parameters.get("Autotune"):
            raise _refused("The local cloud tunes one TrainingJobDefinition, without Autotune.")
        required(parameters, "TrainingJobDefinition")
        definition = parameters["TrainingJobDefinition"]
        required(definition, "ResourceConfig")
        required(config, "HyperParameterTuningJobObjective", "ParameterRanges")
        check_training_request(definition, self._platform.images)
        metric = config["HyperParameterTuningJobObjective"]["MetricName"]
        if metric not in EXPRESSIONS:
            raise _refused(
                f"The objective metric {metric} is none of the algorithm's: {', '.join(sorted(EXPRESSIONS))}."
            )
        check_ranges(
            config["ParameterRanges"], definition.get("StaticHyperParameters", {}), config["Strategy"]
        )

    def _run(self, name: str, search: TuningSearch) -> None:
        search.run()
        record = self._existing(name)
        if record["HyperParameterTuningJobStatus"] == "Stopping":
            self._finish(name, "Stopped", None)
        elif self._platform.closing.is_set():
            self._finish(name, "Failed", INTERRUPTED)
        elif any(_VALUE in summary for summary in self._summaries(record)):
            self._finish(name, "Completed", None)
        else:
            self._finish(
                name,
                "Failed",
                "All training jobs failed. Please take a look at the training jobs failures to get more details.",
            )

    def _note_start(self, name: str, training_job: str, values: dict[str, str]) -> None:
        with self._platform.records.lock:
            jobs = self._existing(name)["_jobs"]
            self._platform.records.update(KIND, name, _jobs=jobs | {training_job: values})

    def _finish(self, name: str, status: str, reason: str | None) -> None:
        self._searches.pop(name, None)
        self._platform.records.update(
            KIND,
            name,
            HyperParameterTuningJobStatus=status,
            HyperParameterTuningEndTime=now(),
            FailureReason=reason,
        )

    def _described(self, record: Record) -> Record:
        """The record with counters, and the best training job."""
        summaries = self._summaries(record)
        statuses = Counter(summary["TrainingJobStatus"] for summary in summaries)
        objectives = Counter(summary["ObjectiveStatus"] for summary in summaries)
        described = record | {
            "TrainingJobStatusCounters": {
                "Completed": statuses["Completed"],
                "InProgress": statuses["InProgress"] + statuses["Stopping"],
                "RetryableError": 0,
                "NonRetryableError": statuses["Failed"],
                "Stopped": statuses["Stopped"],
            },
            "ObjectiveStatusCounters": {
                status: objectives[status] for status in ("Succeeded", "Pending", "Failed")
            },
        }
        scored = [summary for summary in summaries if _VALUE in summary]
        if scored:
            maximize = (
                record["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"]
                == "Maximize"
            )
            best = (max if maximize else min)(scored, key=lambda summary: float(summary[_VALUE]))
            described["BestTrainingJob"] = public(best)
        return described

    def _summaries(self, record: Record) -> list[Record]:
        """A summary of every training job that was started, in order."""
        objective = record["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        summaries = []
        for name, values in record["_jobs"].items():
            job = self._training.describe({"TrainingJobName": name})
            summary = pick(
                "TrainingJobName",
                "TrainingJobArn",
                "CreationTime",
                "TrainingStartTime",
                "TrainingEndTime",
                "TrainingJobStatus",
                "FailureReason",
            )(job) | {"TunedHyperParameters": values}
            value = objective_value(job, objective["MetricName"])
            if value is not None:
                summary[_VALUE] = value
                summary["FinalHyperParameterTuningJobObjectiveMetric"] = objective | {"Value": value}
            pending = job["TrainingJobStatus"] in ("InProgress", "Stopping")
            summary["ObjectiveStatus"] = "Pending" if pending else "Failed" if value is None else "Succeeded"
            summaries.append(summary)
        return summaries


def _refused(message: str) -> ServiceFault:
    return ServiceFault("ValidationException", message)

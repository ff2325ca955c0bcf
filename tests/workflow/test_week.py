"""A week of daily loads: late, repeated and corrupt rows, an archive that is cut off, a day that is missing,
a run that is killed.

Whatever happens, each run's counts are those of the files that lie there: nothing is lost or counted twice.
What the dashboard shows is what the files say.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq

from fmrec.artifacts.manifest import Dropped
from fmrec.execution import run_report
from tests.workflow.conftest import SMALL_INPUT, SMALL_USERS, small_ratings

FIRST_DAY = datetime(2026, 11, 2, tzinfo=UTC)
HEADER = ["user_id", "item_id", "rating", "timestamp"]
BASE_STEPS = 14
"""What the first day has; each later day has one step, one row per user."""
BAD = (["7", "", "5", "1"], ["8", "3", "many", "1"], ["9", "4", "5", "yesterday"])
LIKED = 4
ENCODE_ONLY = {"drift": {"stop": {"fewer_rows": 0.0, "interactions_per_user": 0.0}}}
"""Any other number of interactions per user than the champion's ends a run once it has encoded."""
Row = list[str]


@dataclass
class Raw:
    """What has been uploaded, counted by hand."""

    pipeline: Any
    files: dict[str, int] = field(default_factory=dict)
    good: list[Row] = field(default_factory=list)
    bad: int = 0

    def upload(self, name: str, good: list[Row], bad: tuple[Row, ...] = ()) -> bytes:
        """Put rows into a file, packed if its name says so, and return what it has."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([HEADER, *good, *bad])
        content = text.getvalue().encode()
        if name.endswith(".gz"):
            content = gzip.compress(content)
        self.put(name, content)
        self.files[name] = len(good) + len(bad)
        self.good += good
        self.bad += len(bad)
        return content

    def put(self, name: str, content: bytes) -> None:
        self.pipeline.cloud.client("s3").put_object(
            Bucket=self.pipeline.outputs["DataBucket"], Key=f"raw/week/{name}", Body=content
        )

    def check(self, manifest: dict[str, Any]) -> None:
        """The manifest's counts are those of the files."""
        distinct = {(user, item): float(rating) for user, item, rating, _ in self.good}
        picked = sum(rating >= LIKED for rating in distinct.values())
        rows = manifest["rows"]
        assert rows["read"] == sum(self.files.values()) == len(self.good) + self.bad
        assert rows["quarantined"] == sum(manifest["quarantine_reasons"].values()) == self.bad
        assert Counter(manifest["dropped_reasons"]) == Counter(
            {Dropped.DUPLICATE: len(self.good) - len(distinct), Dropped.NOT_PICKED: len(distinct) - picked}
        )
        assert rows["encoded"] == picked == rows["train"] + rows["test"]
        by_file = {name.rpartition("/")[2]: counts for name, counts in manifest["details"]["files"].items()}
        assert {name: counts["read"] for name, counts in by_file.items()} == self.files
        assert sum(counts["quarantined"] for counts in by_file.values()) == self.bad


def daily_rows() -> list[list[Row]]:
    """The small ratings, one list per day of the week; the rows of a day have its times."""
    rows = list(csv.reader(io.StringIO(small_ratings())))[1:]
    days: list[list[Row]] = [[] for _ in range(7)]
    for number, (user, item, rating, _) in enumerate(rows):
        day = max(0, number // SMALL_USERS - BASE_STEPS + 1)
        time = FIRST_DAY + timedelta(days=day, seconds=number)
        days[day].append([user, item, rating, f"{time.timestamp():.0f}"])
    return days


def encoding_of(pipeline: Any, run: str) -> bool:
    """Whether the run has left an encoding."""
    listed = pipeline.cloud.client("s3").list_objects_v2(
        Bucket=pipeline.outputs["DataBucket"], Prefix=f"encoded/{run}/manifest.json"
    )
    return bool(listed["KeyCount"])


def read(pipeline: Any, key: str) -> Any:
    body = pipeline.cloud.client("s3").get_object(Bucket=pipeline.outputs["DataBucket"], Key=key)["Body"]
    return json.loads(body.read())


def test_counts_reconcile_over_a_week_of_troubles(pipeline: Any) -> None:
    days, raw = daily_rows(), Raw(pipeline)
    document = SMALL_INPUT["dataset"] | {
        "name": "week",
        "interactions": SMALL_INPUT["dataset"]["interactions"] | {"path": "week/"},
        "duplicates": "keep-last",
    }
    given = SMALL_INPUT | {"dataset": document, "serving": {"endpoint": False, "recommendations_per_user": 5}}

    def encoded(run: Any) -> dict[str, Any]:
        assert (run.status, run.error) == ("FAILED", "DriftError"), run.cause
        assert "What is served stays as it is." in run.cause
        manifest: dict[str, Any] = read(pipeline, f"encoded/{run.name}/manifest.json")
        raw.check(manifest)
        return manifest

    raw.upload("monday.csv", days[0])
    monday = pipeline.run(given)
    assert monday.status == "SUCCEEDED", monday.cause
    raw.check(read(pipeline, f"encoded/{monday.name}/manifest.json"))

    raw.upload("tuesday.csv", days[1][:40])
    raw.upload("monday-again.csv", days[0][:50])
    raw.upload("wednesday.csv", days[2], BAD)
    killed = pipeline.start(given | ENCODE_ONLY)
    os.kill(pipeline.process("glue"), signal.SIGKILL)
    run = pipeline.wait(killed)
    assert run.status == "FAILED"
    assert not encoding_of(pipeline, run.name)
    encoded(pipeline.run(given | ENCODE_ONLY))
    assert read(pipeline, "champion/week/model.json")["run"] == monday.name

    # Thursday's file never comes, Friday's archive is cut off at first, Tuesday's late rows come with it, and
    # Sunday's has a file of garbage.
    whole = raw.upload("friday.csv.gz", days[4])
    raw.put("friday.csv.gz", whole[: len(whole) // 2])
    run = pipeline.run(given)
    assert (run.status, run.error) == ("FAILED", "InputError"), run.cause
    assert "raw/week/friday.csv.gz can't be read: it is cut off" in run.cause
    assert not encoding_of(pipeline, run.name)
    raw.put("friday.csv.gz", whole)
    raw.upload("tuesday-late.csv", days[1][40:])
    raw.upload("saturday.csv", days[5])
    raw.upload("sunday.csv", days[6])
    raw.upload("sunday-broken.csv", [], BAD)
    sunday = pipeline.run(given)
    assert sunday.status == "SUCCEEDED", sunday.cause
    manifest = read(pipeline, f"encoded/{sunday.name}/manifest.json")
    raw.check(manifest)
    assert manifest["details"]["days"] == {
        "first": "2026-11-02", "last": "2026-11-08", "used": 6, "longest_gap": 1, "gap_after": "2026-11-04",
    }  # fmt: skip

    report = read(pipeline, f"runs/{sunday.name}/report.json")
    assert report["drift"]["before"] == monday.name
    gaps = [found["sentence"] for found in report["drift"]["findings"] if found["measure"] == "time_gap"]
    assert gaps == [
        "there are no interactions for 1 days after 2026-11-04, where the longest gap in the champion's data was "
        "0 days; the limit is 0 more days"
    ]
    changes = report["published"]["changes"]
    assert (changes["before"], changes["users"], changes["sampled"]) == (monday.name, SMALL_USERS, False)
    lists = {name: lists_of(pipeline, name) for name in (monday.name, sunday.name)}
    same = [user for user in lists[sunday.name] if lists[sunday.name][user] == lists[monday.name].get(user)]
    assert changes["unchanged"] == len(same) / SMALL_USERS
    assert report["published"]["users"] == len(lists[sunday.name]) == SMALL_USERS
    assert report["published"]["recommendations"] == sum(map(len, lists[sunday.name].values()))
    shown_is_written(pipeline, report)


def lists_of(pipeline: Any, run: str) -> dict[str, list[str]]:
    """Items by user, best first, as the run's Parquet files have them."""
    s3, bucket = pipeline.cloud.client("s3"), pipeline.outputs["DataBucket"]
    found: dict[str, list[str]] = {}
    for entry in s3.list_objects_v2(Bucket=bucket, Prefix=f"recommendations/{run}/")["Contents"]:
        body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        for row in pq.read_table(io.BytesIO(body)).sort_by("rank").to_pylist():
            found.setdefault(row["user_id"], []).append(row["item_id"])
    return found


def shown_is_written(pipeline: Any, report: dict[str, Any]) -> None:
    """What the dashboard reads, in the log and in metrics, is what the report and Step Functions say."""
    cloud, machine = pipeline.cloud, pipeline.outputs["StateMachineArn"]
    functions = cloud.client("lambda")
    (name,) = (
        each["FunctionName"]
        for each in functions.list_functions()["Functions"]
        if "WriteReport" in each["FunctionName"]
    )
    group = functions.get_function_configuration(FunctionName=name)["LoggingConfig"]["LogGroup"]
    lines = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
    logged = [json.loads(line["message"]) for line in lines if run_report.LOGGED in line["message"]]
    (shown,) = (line for line in logged if line["run"] == report["run"])
    expected = run_report.logged(report)
    assert {name: shown.get(name) for name in expected} == json.loads(json.dumps(expected))
    assert shown["usd"] == report["spent"]["usd"]

    executions = cloud.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    now = datetime.now(UTC)
    for metric, status in (("ExecutionsSucceeded", "SUCCEEDED"), ("ExecutionsFailed", "FAILED")):
        points = cloud.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/States",
            MetricName=metric,
            Dimensions=[{"Name": "StateMachineArn", "Value": machine}],
            StartTime=now - timedelta(days=1),
            EndTime=now + timedelta(minutes=1),
            Period=86400,
            Statistics=["Sum"],
        )["Datapoints"]
        assert sum(point["Sum"] for point in points) == sum(run["status"] == status for run in executions)

import io
from dataclasses import dataclass

from pyspark.status import SparkStageInfo

from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.encoding.report import ProgressLines, closing_table


def info(done: int) -> SparkStageInfo:
    return SparkStageInfo(3, 0, "stage", 8, 1, done, 0)


@dataclass
class Tracker:
    stages: dict[int, SparkStageInfo]

    def getActiveStageIds(self) -> list[int]:
        return list(self.stages)

    def getStageInfo(self, stage: int) -> SparkStageInfo | None:
        return self.stages.get(stage)


def test_progress_tells_rows_rate_and_eta() -> None:
    now = 100.0
    stream = io.StringIO()
    tracker = Tracker({3: info(0)})
    progress = ProgressLines(stream, lambda: now, tracker)
    progress("reading", None)
    assert progress.glance() is None
    now = 110.0
    tracker.stages[3] = info(2)
    assert progress.glance() == "reading  2 of 8 tasks, eta 30 s"
    progress("deciding", 4000)
    assert progress.glance() == "deciding  2 of 8 tasks  1,000 of 4,000 rows, 100 rows/s, eta 30 s"
    now = 130.0
    progress.close()
    assert stream.getvalue().splitlines() == [
        "   10.0 s  reading  done  4,000 rows, 400 rows/s",
        "   30.0 s  deciding  done  4,000 rows, 200 rows/s",
    ]


def test_the_closing_table_accounts_for_every_row() -> None:
    manifest = Manifest(
        run="r", created="now", dataset={}, feature_dim=9, nnz_per_row=2.0, users=4, items=5,
        ranges={"user": (0, 4), "item": (4, 9)}, rows=Rows(1200, 1100, 1000, 100, 40, 60),
        train=Channel("train/", 3000, 2, 192_000, 1 / 3), test=Channel("test/", 100, 1, 6400, None),
        quarantine_reasons={"missing user": 40}, dropped_reasons={"met, but not picked": 60},
        details={"negatives": {"train": 2000, "test": 0}},
    )  # fmt: skip
    assert closing_table(manifest).splitlines() == [
        "rows read                       1,200",
        "rows encoded                    1,100",
        "  quarantined: missing user     40",
        "  dropped: met, but not picked  60",
        "sampled negatives, train        2,000",
        "columns of user                 4",
        "columns of item                 5",
        "feature_dim                     9",
        "train                           3,000 rows, 192,000 bytes in 2 parts, positive share 0.333",
        "test                            100 rows, 6,400 bytes in 1 part",
        "seconds                         0.0",
    ]

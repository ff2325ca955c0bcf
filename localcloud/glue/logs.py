"""What a Glue run printed, in CloudWatch Logs' groups of Glue."""

from __future__ import annotations

import time
from pathlib import Path

OUTPUT_GROUP = "/aws-glue/jobs/output"
ERROR_GROUP = "/aws-glue/jobs/error"
_LINES_A_CALL = 1000


def ship(log: Path, run_id: str, error: str) -> None:
    """Put a run's output, and its error if it had one, into CloudWatch Logs under the run's id."""
    if log.exists():
        _put(OUTPUT_GROUP, run_id, log.read_text(encoding="utf-8", errors="replace").splitlines())
    if error:
        _put(ERROR_GROUP, run_id, error.splitlines())


def _put(group: str, stream: str, lines: list[str]) -> None:
    from ministack.services import cloudwatch_logs

    cloudwatch_logs._create_log_group({"logGroupName": group})  # refused if it exists, which is as well
    cloudwatch_logs._create_log_stream({"logGroupName": group, "logStreamName": stream})
    now = int(time.time() * 1000)
    for start in range(0, len(lines), _LINES_A_CALL):
        events = [
            {"timestamp": now, "message": line} for line in lines[start : start + _LINES_A_CALL] if line
        ]
        if events:
            cloudwatch_logs._put_log_events(
                {"logGroupName": group, "logStreamName": stream, "logEvents": events}
            )

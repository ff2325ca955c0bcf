"""What is advised where times or letters are not as the document says."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fmrec.errors import InputError

Take = Callable[..., Any]


@pytest.mark.parametrize(
    ("time", "sentence"),
    [
        ("1600000000000", "'when' looks like milliseconds, e.g. '1600000000000': set interactions.timestamp_format to 'milliseconds'"),
        ("2020-01-02 03:04:05", "'when' looks like iso8601, e.g. '2020-01-02 03:04:05'"),
        ("13/1/2010 8:26", "'when' looks like d/M/yyyy H:mm, e.g. '13/1/2010 8:26'"),
        ("last week", "'when' is not written in seconds, e.g. 'last week': set interactions.timestamp_format to one of seconds"),
    ],
)  # fmt: skip
def test_times_in_another_format_than_declared_are_recognised(
    time: str, sentence: str, take: Take, tmp_path: Path
) -> None:
    (tmp_path / "r.csv").write_text("u,i,v,when\n" + f"1,2,3,{time}\n" * 3 + "2,3,4,100\n")
    columns = {"user": "u", "item": "i", "value": "v", "timestamp": "when"}
    with pytest.raises(InputError, match=re.escape(sentence)):
        take(tmp_path, max_share=0.1, interactions={"path": "r.csv", "columns": columns})

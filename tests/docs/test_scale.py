"""docs/scale.md prints what `fmrec plan` reckons with for the settings that it shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fmrec.cli import main
from stacks.settings import Settings

PAGE = (Path(__file__).resolve().parents[2] / "docs/scale.md").read_text()
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
TABLE = {
    name: cells
    for name, *cells in (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.split("## What breaks first")[0].splitlines()
        if line.startswith("|")
    )
}
ITEMS = {
    "encoding": "glue",
    "FM training": "fm_training",
    "k-NN training": "knn_training",
    "batch transform": "batch_transform",
    "publishing, functions": "lambda",
    "publishing, table writes": "dynamodb_writes",
}


@pytest.mark.parametrize(
    ("column", "rows", "settings"),
    [(0, 10**9, {}), (1, 10**9, BLOCKS[0]), (2, 10**10, {}), (3, 10**10, BLOCKS[1])],
)
def test_the_table_is_what_plan_prints(
    column: int, rows: int, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Settings.model_validate(settings)
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"fmrec": settings}}))
    users, items = TABLE["users, items"][column].split(", ")
    arguments = ["--rows", str(rows), "--users", users.replace(",", ""), "--items", items.replace(",", "")]
    assert main(["plan", *arguments, "--settings", str(tmp_path / "cdk.json"), "--json"]) == 0
    run = json.loads(capsys.readouterr().out)["cost"]["run"]
    for name, item in ITEMS.items():
        found = run["items"][item]
        hours = f"{found['hours']:.2f} h, " if "hours" in found else ""
        assert TABLE[name][column] == f"{hours}{found['amount']:,.2f} USD", name
    assert TABLE["a run"][column] == f"{run['total']:,.2f} USD"

"""The demo's order of work: what goes on at the same time, and what a failed execution leaves undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from demo import run
from demo.report import Report

OUTPUTS = {"DataBucket": "bucket", "StateMachineArn": "arn"}


@pytest.fixture
def did(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What was done, in its order; the cloud, its deployment and the figures are replaced."""
    from demo import collect  # it imports what draws plots

    done: list[Any] = []

    @contextmanager
    def cloud(*_: object) -> Iterator[object]:
        yield object()
        done.append("cloud stopped")

    def collected(*arguments: Any) -> Report:
        done.append(("collected", arguments[2]))
        checks: dict[str, Any] = {"checks": [{"passed": True, "sentence": "all is well"}]}
        return Report(checks, plots={}, users=[], timeline=[])

    def nothing(*_: object) -> None:
        pass

    for name in ("STATE", "OUTPUT", "ASSEMBLY"):
        monkeypatch.setattr(run, name, tmp_path / name)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "fetch", nothing)
    monkeypatch.setattr(run, "cloud", cloud)
    monkeypatch.setattr(run, "synthesise", lambda *_: done.append("synthesised"))
    monkeypatch.setattr(run, "deploy", lambda *_: done.append("deployed"))
    monkeypatch.setattr(run, "_outputs", lambda _: OUTPUTS)
    monkeypatch.setattr(run, "upload", nothing)
    monkeypatch.setattr(run, "print_figures", nothing)
    monkeypatch.setattr(Report, "write", lambda _, folder: (folder / "a.json", folder / "a.html"))
    monkeypatch.setattr(collect, "prepare", lambda _, bucket, lists: f"{bucket} of {lists.name}")
    monkeypatch.setattr(collect, "collect", collected)
    return done


def executions(monkeypatch: pytest.MonkeyPatch, **statuses: str) -> None:
    def execute(_target: object, _arn: str, task: str, _logs: bool) -> SimpleNamespace:
        status = statuses.get(task.replace("-", "_"), "SUCCEEDED")
        return SimpleNamespace(name=task, status=status, error="Error", cause="a cause")

    monkeypatch.setattr(run, "execute", execute)


def test_templates_are_there_before_the_deployment_and_the_report_has_the_lists_prepared(
    did: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    executions(monkeypatch)
    assert run.run("large", False, False) == 0
    assert did == ["synthesised", "deployed", ("collected", "bucket of recommend"), "cloud stopped"]


@pytest.mark.parametrize("failed", ["recommend", "predict_rating"])
def test_nothing_is_reported_of_executions_that_failed(
    failed: str, did: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    executions(monkeypatch, **{failed: "FAILED"})
    assert run.run("large", False, False) == 1
    assert did == ["synthesised", "deployed", "cloud stopped"]
    assert "The workflow ended FAILED: Error\na cause" in capsys.readouterr().out

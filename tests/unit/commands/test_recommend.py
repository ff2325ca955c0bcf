import argparse
import json
from typing import Any

import pytest

from fmrec.commands import recommend
from fmrec.errors import InputError
from fmrec.recommendations.table import Recommendation, UserRecommendations, Writer

SERVED = UserRecommendations(
    "u1", (Recommendation("Star Wars", 0.875, 1), Recommendation("Fargo", 0.5, 2)), "m1", "r1", "now"
)


@pytest.fixture
def environment(dynamodb: Any, table: Any, emulator_url: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with Writer(table, dynamodb) as writer:
        writer.write([SERVED])
    return table


def parse(*arguments: Any) -> Any:
    parser = argparse.ArgumentParser()
    recommend.add_arguments(parser)
    return parser.parse_args(arguments)


def test_prints_rank_item_and_score(environment: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert recommend.run(parse("u1", "--table", environment)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "user u1: 2 recommendations, from model, model m1, run r1, now"
    assert lines[1].split() == ["rank", "item", "score"]
    assert lines[2:] == ["   1  Star Wars    0.8750", "   2  Fargo        0.5000"]


def test_json_is_one_object(environment: Any, capsys: pytest.CaptureFixture[str]) -> None:
    recommend.run(parse("u1", "--table", environment, "--json"))
    document = json.loads(capsys.readouterr().out)
    assert document["recommendations"][1] == {"item_id": "Fargo", "score": 0.5, "rank": 2}


def test_the_table_comes_from_the_stack(
    environment: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        recommend, "stack_outputs", lambda client, stack: {"RecommendationsTable": environment}
    )
    assert recommend.run(parse("u1")) == 0
    assert "Fargo" in capsys.readouterr().out


def test_a_stack_without_the_output_is_named(environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommend, "stack_outputs", lambda client, stack: {"Other": "x"})
    with pytest.raises(InputError, match="FmRecStorage has no output RecommendationsTable, it has Other"):
        recommend.run(parse("u1"))

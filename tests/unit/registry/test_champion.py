"""The record of the model that serves."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fmrec.errors import FormatError
from fmrec.registry import champion
from fmrec.registry.champion import Champion


@pytest.fixture
def serving(tmp_path: Path) -> Champion:
    """A champion whose files are there."""
    places = [tmp_path / "encoded/a/manifest.json", tmp_path / "embeddings/a/embeddings.json"]
    for place in places:
        place.parent.mkdir(parents=True)
        place.write_text("{}")
    return Champion("a", "recommend", "fm-1", "s3://b/model.tar.gz", str(places[0]), str(places[1]))


def test_what_was_recorded_is_read_back(serving: Champion, tmp_path: Path) -> None:
    uri = str(tmp_path / "champion/model.json")
    promoted = champion.promote(serving, uri)

    assert champion.read(uri) == champion.recorded(promoted.kept_at) == promoted
    assert promoted == replace(serving, since=promoted.since, kept_at=promoted.kept_at)
    assert serving.places == {
        "manifest_uri": serving.manifest_uri,
        "embeddings_uri": serving.embeddings_uri,
    }


def test_before_the_first_run_there_is_none(tmp_path: Path) -> None:
    assert champion.read(str(tmp_path / "champion/model.json")) is None


@pytest.mark.parametrize("lost", ["manifest_uri", "embeddings_uri"])
def test_one_whose_files_have_gone_is_compared_with_no_more(
    serving: Champion, tmp_path: Path, lost: str
) -> None:
    uri = str(tmp_path / "champion/model.json")
    champion.promote(serving, uri)
    Path(getattr(serving, lost)).unlink()

    assert champion.read(uri) is None


def test_a_damaged_record_is_refused_with_what_to_do(tmp_path: Path) -> None:
    place = tmp_path / "model.json"
    place.write_text('{"run": "a"}')

    with pytest.raises(FormatError, match="delete it"):
        champion.read(str(place))


def test_each_champion_names_the_one_before_and_a_rollback_goes_behind_it(
    serving: Champion, tmp_path: Path
) -> None:
    uri = str(tmp_path / "champion/model.json")
    first = champion.promote(replace(serving, model_version="fm-1", execution_arn="arn:run-1"), uri)
    second = champion.promote(replace(serving, model_version="fm-2", execution_arn="arn:run-2"), uri)
    again = champion.promote(replace(serving, model_version="fm-2", execution_arn="arn:run-2"), uri)
    served_anew = champion.promote(replace(serving, model_version="fm-2", execution_arn="arn:run-3"), uri)
    back = champion.promote(
        replace(serving, model_version="fm-1", execution_arn="arn:run-4"), uri, previous=first.previous
    )

    assert (first.previous, second.previous) == ("", first.kept_at)
    assert again == second
    assert served_anew.previous == first.kept_at
    assert (back.model_version, back.previous) == ("fm-1", "")
    assert len(list((tmp_path / "champion/history").iterdir())) == 4


def test_a_record_from_before_there_was_a_history_is_read(serving: Champion, tmp_path: Path) -> None:
    place = tmp_path / "model.json"
    old = {name: value for name, value in asdict(serving).items() if value}
    place.write_text(json.dumps(old))

    assert champion.read(str(place)) == serving

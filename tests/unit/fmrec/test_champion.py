"""The record of the model that serves."""

from pathlib import Path

import pytest

from fmrec import champion
from fmrec.champion import Champion
from fmrec.errors import FormatError


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
    champion.write(serving, uri)

    assert champion.read(uri) == serving
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
    champion.write(serving, uri)
    Path(getattr(serving, lost)).unlink()

    assert champion.read(uri) is None


def test_a_damaged_record_is_refused_with_what_to_do(tmp_path: Path) -> None:
    place = tmp_path / "model.json"
    place.write_text('{"run": "a"}')

    with pytest.raises(FormatError, match="delete it"):
        champion.read(str(place))

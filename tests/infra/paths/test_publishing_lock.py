"""One execution at a time publishes: who waits, who judges again, who gives up."""

from typing import Any

import pytest

from tests.infra.paths.test_registry import RATINGS, calls, promotion

ACQUIRE = "Acquire the publishing lock"


def lock(*attempts: tuple[bool, bool]) -> Any:
    """Answers to one attempt after the other: acquired, and whether the champion has changed."""
    left = list(attempts)

    def answer(arguments: Any) -> Any:
        acquired, changed = left.pop(0) if len(left) > 1 else left[0]
        return {"Payload": {"acquired": acquired, "holder": "arn:other", "champion_changed": changed}}

    return answer


def test_nothing_that_serves_is_touched_before_the_lock_is_acquired(run: Any) -> None:
    started, _ = run(Acquire_the_publishing_lock=lock((False, False), (False, False), (True, False)))

    assert started.visited.count("Wait for the publishing lock") == 2
    assert started.visited.count("Evaluate the ranking") == 1
    last = len(started.visited) - started.visited[::-1].index(ACQUIRE)
    assert not {"Publish the recommendations", "Look up the endpoint"} & set(started.visited[:last])
    first = calls(started, ACQUIRE)[0]["Payload"]
    assert first["champion_uri"] == "s3://fmrecstorage-data/champion/model.json"
    assert (first["dataset"], first["judged_against"]) == ("default", "")


def test_a_model_is_judged_again_when_another_champion_has_begun_to_serve(run: Any) -> None:
    started, outcome = run(Acquire_the_publishing_lock=lock((True, True), (True, False)))

    assert outcome[0] == "SUCCEEDED"
    assert started.visited.count("Evaluate the ranking") == started.visited.count("Register the model") == 2
    assert started.visited.count("Publish the recommendations") == 1


def test_a_rollback_is_not_applied_to_another_champion(run: Any) -> None:
    started, (status, output) = run(
        {"rollback": True},
        Check_the_input=promotion("rollback", "s3://fmrecstorage-data/champion/history/a.json"),
        Acquire_the_publishing_lock=lock((True, True)),
        Explain_the_failure=lambda a: {
            "Payload": {"error": "E", "sentence": a["Payload"]["failure"]["error"]["Cause"], "subject": "s"}
        },
    )

    assert (status, output["Error"]) == ("FAILED", "E")
    assert "another model has begun to serve since this rollback was started" in output["Cause"]
    assert calls(started, ACQUIRE)[0]["Payload"]["judged_against"] == "arn:the-champion"
    assert "Publish the recommendations" not in started.visited


@pytest.mark.parametrize("given", [{}, RATINGS])
def test_a_lock_that_never_comes_fails_the_run_with_who_has_it(run: Any, given: Any) -> None:
    started, (status, output) = run(
        given,
        Acquire_the_publishing_lock=lock((False, False)),
        Explain_the_failure=lambda a: {
            "Payload": {"error": "E", "sentence": a["Payload"]["failure"]["error"]["Cause"], "subject": "s"}
        },
    )

    assert status == "FAILED"
    assert "arn:other has been publishing the same data set for 24 hours" in output["Cause"]
    assert not {"Publish the recommendations", "Score the held-out pairs"} & set(started.visited)


def test_names_of_another_data_set_go_through_the_whole_run(run: Any) -> None:
    started, (status, _) = run({"name": "books"})

    assert status == "SUCCEEDED"
    assert calls(started, "Register the model")[0]["Payload"]["group"] == "fmrec-books-recommend"
    assert calls(started, "Create the endpoint")[0]["EndpointName"] == "fmrec-books-knn"
    assert calls(started, "Remove lists of departed users")[0]["Payload"]["dataset"] == "books"
    champion = "s3://fmrecstorage-data/champion/books/model.json"
    for state in ("Evaluate the ranking", ACQUIRE, "Write the run report"):
        assert calls(started, state)[0]["Payload"]["champion_uri"] == champion
    ratings, _ = run(RATINGS | {"name": "books"})
    assert calls(ratings, "Register the model")[0]["Payload"]["group"] == "fmrec-books-predict-rating"
    assert calls(ratings, "Create the endpoint")[0]["EndpointName"] == "fmrec-books-fm"
    served = calls(ratings, "Write the run report")[0]["Payload"]["served_uri"]
    assert served == "s3://fmrecstorage-data/champion/books/predict-rating.json"

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.errors import FormatError
from fmrec.recommendations.knn_output import read_neighbours


def line(labels: Any, distances: Any, **more: Any) -> Any:
    return json.dumps({"distances": distances, "labels": labels, "predicted_label": 0.0} | more) + "\n"


def read(text: Any, items: Any = 10, block_bytes: Any = 1 << 20) -> Any:
    return list(read_neighbours(io.BytesIO(text.encode()), "part-00000.pbr.out", items, block_bytes))


def test_the_last_is_the_best() -> None:
    (block,) = read(line([4.0, 7.0, 2.0], [0.5, 1.5, 2.5]))
    assert block.items.tolist() == [[2, 7, 4]]
    assert block.products.tolist() == [[2.5, 1.5, 0.5]]


def test_equal_products_are_ordered_by_item() -> None:
    (block,) = read(line([4.0, 7.0, 2.0, 1.0], [0.5, 1.5, 1.5, 1.5]))
    assert block.items.tolist() == [[1, 2, 7, 4]]


@pytest.mark.parametrize("block_bytes", [1, 40, 100, 1 << 20])
def test_blank_lines_and_block_borders_change_nothing(block_bytes: Any) -> None:
    rows = [[float(n % 7), float(n % 7 + 1)] for n in range(20)]
    text = "\n" + "\n \n".join(line(row, [0.1, 0.2 + n]) for n, row in enumerate(rows))
    blocks = read(text, block_bytes=block_bytes)
    items = np.concatenate([block.items for block in blocks])
    assert items.tolist() == [[int(b), int(a)] for a, b in rows]
    assert np.concatenate([block.products for block in blocks])[:, 0].tolist() == [0.2 + n for n in range(20)]


def test_a_last_line_without_newline_counts() -> None:
    blocks = read(line([1.0], [1.0]) + line([2.0], [1.0]).rstrip())
    assert [block.items.tolist() for block in blocks] == [[[1]], [[2]]]


def test_nothing_gives_nothing() -> None:
    assert read("") == []
    assert read("\n\n") == []


def test_integer_labels_and_distances_are_read_too() -> None:
    (block,) = read('{"labels": [1, 2], "distances": [3, 4]}\n')
    assert block.items.tolist() == [[2, 1]]
    assert block.products.tolist() == [[4.0, 3.0]]


@given(st.data())
def test_any_float_survives(data: Any) -> None:
    k = data.draw(st.integers(1, 8))
    labels = data.draw(st.lists(st.integers(0, 9).map(float), min_size=k, max_size=k))
    distances = data.draw(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=k, max_size=k))
    (block,) = read(line(labels, distances))
    assert sorted(zip(block.items[0].tolist(), block.products[0].tolist(), strict=True)) == sorted(
        zip(map(int, labels), distances, strict=True)
    )
    assert (np.diff(block.products[0]) <= 0).all()


GOOD = line([1.0, 2.0], [0.5, 0.6])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("not json\n", "line 4: not a JSON object"),
        ("[1]\n", "line 4: no lists 'labels' and 'distances'"),
        ('{"predicted_label": 1.0}\n', "verbose=true"),
        ('{"labels": [1, 2]}\n', "verbose=true"),
        ('{"labels": 1, "distances": 2}\n', "verbose=true"),
        (line([1.0], [0.5, 0.6]), "1 labels and 2 distances, expected 2 of each"),
        (line([1.0, 2.0, 3.0], [0.5, 0.6, 0.7]), "3 labels and 3 distances, expected 2"),
        (line([1.0, 10.0], [0.5, 0.6]), "label 10.0 is no item ordinal below 10"),
        (line([1.0, -1.0], [0.5, 0.6]), "label -1.0 is no item ordinal"),
        (line([1.0, 2.5], [0.5, 0.6]), "label 2.5 is no item ordinal"),
        (line([1.0, None], [0.5, 0.6]), "label None is no item ordinal"),
        (line([1.0, 2.0], [0.5, float("nan")]), "distance nan is not a finite number"),
        (line([1.0, 2.0], [0.5, float("inf")]), "distance inf is not a finite number"),
        (line([1.0, 2.0], [0.5, "x"]), "distance 'x' is not a finite number"),
        (GOOD.rstrip() + GOOD, "line 4: not a JSON object"),
        (f'{{"labels": [1, 2], "distances": [1, {10**400}]}}\n', "distance 10+… is not a finite number"),
        ("null\n", "line 4: no lists 'labels' and 'distances'"),
    ],
)
@pytest.mark.parametrize("block_bytes", [60, 1 << 20])
def test_what_is_wrong_is_named_with_its_line(bad: Any, words: Any, block_bytes: Any) -> None:
    with pytest.raises(FormatError, match=words) as error:
        read(GOOD + "\n" + GOOD + bad + GOOD, block_bytes=block_bytes)
    assert "part-00000.pbr.out, line 4" in str(error.value)


@pytest.mark.parametrize("text", ["null\n", "  null\nnull\n", "\n\tnull"])
def test_nothing_but_nulls_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"line [12]: no lists 'labels' and 'distances'"):
        read(text)

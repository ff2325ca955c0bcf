"""What is a number, against Python's own ``float``, in Arrow columns and in the JVM."""

import math

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.ingest.number_text import is_number, to_double, to_doubles

NUMBERS = [
    "7",
    "+7",
    "-0",
    "1.",
    ".5",
    "1e3",
    "1E-3",
    " 2\t",
    "\v3\r\n",
    "00012",
    "9" * 30,
    "4.9e-324",
    "1e-400",
]
ONLY_OTHERS_NUMBERS = [
    "4d", "4f", "4D", "30F", "500d", "0x1p3", "0x1p9", "1_000", "nan", "NaN", "inf", "-Infinity", "1e400",
    "٣", "5\u2028", "5\x85", "5\x00", "\x1c3", "\u00a05", "1,5", "$12.99", "1e", ".", "e5", "+-1", "--1", "1 2", "", " ",
]  # fmt: skip


def python_number(text: str, decimal: str = ".") -> float | None:
    """Apply Python's own reading, within the limits that the module's description sets."""
    if not text.isascii() or "_" in text or (decimal == "," and "." in text):
        return None
    try:
        number = float(text.replace(decimal, "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


pieces = st.text(st.sampled_from("0123456789.,+-eEdDfFxXpP_ \tinfaNty\x1c\x85\u2028٣\n\r\0"), max_size=8)
texts = st.lists(pieces | st.floats().map(repr) | st.integers().map(str) | st.text(max_size=4), max_size=6)


@settings(max_examples=250, deadline=None)
@given(texts, st.sampled_from(".,"))
@example(["1e999"], ".")
def test_a_number_is_what_python_reads(found: list[str], decimal: str) -> None:
    numbers, fits = to_doubles(pa.array(found, pa.string()), decimal)
    for text, number, fit in zip(found, numbers.tolist(), fits.tolist(), strict=True):
        expected = python_number(text, decimal)
        assert fit == is_number(text, decimal) == (expected is not None)
        assert number == (expected or 0.0)


@pytest.mark.parametrize("decimal", [".", ","])
def test_the_jvm_reads_the_same_numbers(spark: SparkSession, decimal: str) -> None:
    found = NUMBERS + ONLY_OTHERS_NUMBERS + [text.replace(".", ",") for text in NUMBERS if "." in text]
    found += pieces_of_numbers()
    frame = spark.createDataFrame(pa.table({"at": range(len(found)), "text": found}))
    rows = frame.select("at", to_double(F.col("text"), decimal)).sort("at").collect()
    assert [row[1] for row in rows] == [python_number(text, decimal) for text in found]
    if decimal == ".":
        assert [text for text in NUMBERS if python_number(text) is None] == []
        assert [text for text in ONLY_OTHERS_NUMBERS if python_number(text) is not None] == []


def pieces_of_numbers() -> list[str]:
    """Return every text of a few pieces of numbers."""
    parts = ["", "1", "-", "+", ".", ",", "e", "d", "f", "0x", " ", "_"]
    return [first + second + third for first in parts for second in parts for third in parts]


def test_nothing_is_no_number() -> None:
    numbers, fits = to_doubles(pa.array([None, "1", None], pa.string()))
    assert (numbers.tolist(), fits.tolist()) == ([0.0, 1.0, 0.0], [False, True, False])

"""Texts of side features as they are read: each becomes a number or names, or is counted as unusable.

This is the only place that says what a text of each kind means. Spark computes it next to the rows; what is
made of numbers and names is in ``kinds``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset, Feature, Source
from fmrec.dataset.timestamps import UTC
from fmrec.encoding.ingest.number_text import LARGEST_FLOAT32, to_double
from fmrec.encoding.ingest.timestamps import seconds_of

READ = "struct<present: boolean, number: double, names: array<string>, unusable: string>"
"""What ``Reading.read`` returns."""
EXAMPLE_LENGTH = 200
FIRST_ORDINAL = 2
"""Ordinal of the first side feature's namespace, after users and items."""
_DATE_PARTS: Mapping[str, Callable[[Column], Column]] = {
    "year": F.year,
    "month": F.month,
    "day-of-month": F.dayofmonth,
    "day-of-week": lambda moment: F.weekday(moment) + 1,
    "hour": F.hour,
}
"""Weeks begin with Monday, 1."""
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999: beyond them Spark's dates have no year of four digits."""


@dataclass(frozen=True)
class Reading:
    """A feature and how its texts are to be read.

    ``lists`` says that the files can hold lists (JSON, Parquet): they come as the text of a JSON list.
    ``decimal`` and ``timezone`` are settings of the source.
    """

    feature: Feature
    lists: bool = False
    decimal: str = "."
    timezone: str = UTC

    @classmethod
    def of(cls, feature: Feature, source: Source) -> Reading:
        return cls(feature, source.format in ("jsonl", "parquet"), source.decimal, source.timezone)

    @property
    def is_number(self) -> bool:
        return self.feature.kind in ("numeric", "bucket")

    @property
    def is_checked(self) -> bool:
        """Whether texts can be unusable: an interaction's date parts come from times that were checked."""
        return self.feature.kind != "date-part" or self.feature.of != "interaction"

    def read(self, text: Column) -> Column:
        """Read a text: ``READ``.

        ``present`` says whether there is anything but blanks. Of texts that can be used there is the
        ``number``, or one or several ``names``; of the others, as an example, how they begin.
        """
        present = F.coalesce(F.trim(text) != "", F.lit(False))
        number, names = F.lit(None), F.lit(None)
        if self.is_number:
            number = F.when(present, self._number(text))
            usable = number.isNotNull()
        else:
            names = F.when(present, self._names(text))
            usable = F.coalesce(F.size(names) > 0, F.lit(False))
        unusable = F.when(present & ~usable, F.left(text, F.lit(EXAMPLE_LENGTH)))
        return F.struct(present, number, names, unusable).cast(READ)

    def date_part(self, seconds: Column) -> Column:
        """Return the part of a time that the feature is made of, as text."""
        return _DATE_PARTS[str(self.feature.part)](F.timestamp_seconds(seconds)).cast("string")

    @property
    def expected(self) -> str:
        """What a usable text is, for a sentence."""
        kind = self.feature.kind
        if self.is_number:
            return "a number that float32 can hold"
        if kind == "date-part":
            return f"a time, written as timestamp_format {self.feature.timestamp_format!r} says"
        if kind == "multi-valued":
            return f"names, separated by {self.feature.separator!r}"
        return "one name (kind multi-valued takes lists)"

    def _number(self, text: Column) -> Column:
        """Return a text as a double that float32 can hold; null if it isn't one."""
        number = to_double(text, self.decimal)
        return F.when(F.abs(number) <= LARGEST_FLOAT32, number)

    def _names(self, text: Column) -> Column:
        if not self.is_checked:
            return F.array(text)
        if self.feature.kind == "multi-valued":
            return self._several(text)
        if self.feature.kind == "date-part":
            seconds = seconds_of(text, str(self.feature.timestamp_format), self.decimal, self.timezone)
            return F.when(seconds.between(_FIRST_SECOND, _LAST_SECOND), F.array(self.date_part(seconds)))
        one = F.array(F.trim(text))
        return F.when(self._list(text).isNull(), one) if self.lists else one

    def _several(self, text: Column) -> Column:
        """Return the distinct names in a text of several, without the blanks around them, sorted."""
        found = F.split(text, _literal(str(self.feature.separator)), -1)
        if self.lists:
            found = F.coalesce(self._list(text), found)
        return F.array_sort(F.array_distinct(F.filter(F.transform(found, _trimmed), lambda name: name != "")))

    @staticmethod
    def _list(text: Column) -> Column:
        return F.when(F.startswith(F.trim(text), F.lit("[")), F.from_json(text, "array<string>"))


def features_of(dataset: Dataset, of: str) -> dict[int, Feature]:
    """Return the features of users, items or interactions by the ordinals of their namespaces."""
    numbered = enumerate(dataset.features, start=FIRST_ORDINAL)
    return {ordinal: feature for ordinal, feature in numbered if feature.of == of}


def context_readings(dataset: Dataset) -> dict[int, Reading]:
    """Return how features of the interactions' context are read, by the ordinals of their namespaces."""
    source = dataset.interactions.source
    return {
        ordinal: Reading.of(feature, source)
        for ordinal, feature in features_of(dataset, "interaction").items()
    }


def all_readings(dataset: Dataset) -> list[Reading]:
    """Return how a data set's features are read: those of users, of items, and of interactions."""
    found = []
    for of, section in (
        ("user", dataset.users),
        ("item", dataset.items),
        ("interaction", dataset.interactions),
    ):
        if section is not None:
            found += [Reading.of(feature, section.source) for feature in features_of(dataset, of).values()]
    return found


def _trimmed(text: Column) -> Column:
    """Take the blanks off both ends. (``F.trim`` by itself would take the element's position for letters.)"""
    return F.trim(text)


def _literal(separator: str) -> str:
    """Return a regular expression of Java that matches just this text."""
    return "".join(f"\\{letter}" if not letter.isalnum() else letter for letter in separator)

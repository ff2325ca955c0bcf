"""All layouts, in the order of the table in docs/datasets.md."""

from tests.unit.inspection.layouts import books, exports, media, movielens, reviews, shops

LAYOUTS = [
    *movielens.LAYOUTS,
    *books.LAYOUTS,
    *reviews.LAYOUTS,
    *shops.LAYOUTS,
    *media.LAYOUTS,
    *exports.LAYOUTS,
]

"""Keys of the table: one for each list, whatever ids look like."""

from hypothesis import given
from hypothesis import strategies as st

from fmrec.recommendations.table_keys import popular_key, split_key, user_key

datasets = st.sampled_from(["default", "books", "films-2"])
names = st.text(st.sampled_from("*/abdefult-books"), max_size=12)
lists = st.tuples(datasets, names, st.booleans())


def key(dataset: str, name: str, popular: bool) -> str:
    return popular_key(dataset, name) if popular else user_key(dataset, name)


@given(lists, lists)
def test_two_lists_never_have_one_key(first: tuple[str, str, bool], second: tuple[str, str, bool]) -> None:
    assert (key(*first) == key(*second)) == (first == second)


@given(lists)
def test_a_key_says_whose_it_is(found: tuple[str, str, bool]) -> None:
    dataset, name, popular = found
    assert split_key(key(*found)) == (dataset, f"*{name}" if popular else name)


def test_the_default_data_set_keeps_its_users_ids_as_keys() -> None:
    assert user_key("default", "42") == "42"
    assert user_key("default", "*x") == "/default/*x"
    assert user_key("books", "42") == "/books/42"
    assert (popular_key("default"), popular_key("default", "young")) == ("*", "*young")
    assert popular_key("books", "young") == "/books*young"

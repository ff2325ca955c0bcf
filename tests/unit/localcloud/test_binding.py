"""A name of the emulator that has moved is named when the server starts."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from collections.abc import Iterator

import pytest

from localcloud.hooks import binding


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    made = types.ModuleType("emulator_double")
    made.add = lambda first, second: first + second  # type: ignore[attr-defined]
    made.TABLE = {"a": 1}  # type: ignore[attr-defined]
    made.SCRIPT = "one\ntwo\ntwo\n"  # type: ignore[attr-defined]
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def test_a_function_is_replaced_by_one_that_knows_the_original(module: types.ModuleType) -> None:
    binding.replace(
        "emulator_double", "add", ("first", "second"), lambda original: lambda a, b: original(a, b) * 10
    )
    assert module.add(1, 2) == 30


def test_a_missing_name_is_named(module: types.ModuleType) -> None:
    with pytest.raises(binding.HookError, match="emulator_double has no subtract any more"):
        binding.replace("emulator_double", "subtract", (), lambda original: original)


def test_other_parameters_are_named(module: types.ModuleType) -> None:
    with pytest.raises(binding.HookError, match=r"takes \(first, second\) now, the hook expects \(a, b, c\)"):
        binding.replace("emulator_double", "add", ("a", "b", "c"), lambda original: original)


def test_another_kind_is_named(module: types.ModuleType) -> None:
    with pytest.raises(binding.HookError, match="TABLE is a dict now"):
        binding.find("emulator_double", "TABLE", list)


def test_a_passage_must_occur_once(module: types.ModuleType) -> None:
    binding.edit("emulator_double", "SCRIPT", [("one\n", "1\n")])
    assert module.SCRIPT == "1\ntwo\ntwo\n"
    with pytest.raises(binding.HookError, match="holds 2 times, not once: 'two'"):
        binding.edit("emulator_double", "SCRIPT", [("two\n", "2\n")])


def test_another_version_of_the_emulator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    binding.check_version()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.6.0")
    with pytest.raises(binding.HookError, match=r"ministack 1\.6\.0 is installed"):
        binding.check_version()

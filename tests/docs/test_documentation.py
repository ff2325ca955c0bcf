"""What the documentation shows is true: links lead somewhere, documents validate, code runs,
commands exist.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fmrec.cli import COMMANDS, main
from fmrec.dataset import Dataset
from fmrec.execution.execution_input import KEYS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]

README_WORDS = 900
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
OTHER_PROGRAMS = {"aws", "cd", "cdk", "export", "git", "make", "pip", "python", "source"}
NEEDS_MORE = (
    "spark.",
    "df.",
    "open(",
    "np.load(",
    "orders.csv",
    "import sagemaker",
    "from sagemaker",
    "Client(",
)
"""Code that needs Spark or a reader's own files is compiled here, and run by tests of its own."""


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        if language in languages:
            yield text


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and Python-Markdown both make them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", heading)).strip().lower()
        found.add(re.sub(r"\s", "-", plain))
    return found


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_json_is_json_and_data_set_documents_are_valid(page: Path) -> None:
    for text in blocks(page, "json"):
        # Contracts show several documents of one form in a block.
        documents = json_documents(text)
        for document in documents:
            if isinstance(document.get("interactions"), dict) and "features" not in document.get(
                "serving", {}
            ):
                Dataset.from_document(document)


def json_documents(text: str) -> list[dict[str, Any]]:
    decoder, found, at = json.JSONDecoder(), [], 0
    text = text.strip()
    while at < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            assert '"rows", "' in text, text  # an outline of a document: names without values
            return []
        found.append(document)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in blocks(page, "python"):
        code = compile(text, str(page), "exec")
        if not any(word in text for word in NEEDS_MORE):
            exec(code, {"__name__": "example"})  # noqa: S102 - the documentation's own examples


def commands(page: Path) -> Iterator[list[str]]:
    """Every command of a page, in words."""
    for text in blocks(page, "shell", "bash", ""):
        for line in text.splitlines():
            for command in line.split(" && "):
                if re.match(r"\s*(fmrec|make|cdk|aws) ", command):
                    yield shlex.split(command, comments=True)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_exist_with_their_options(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helps: dict[str, str] = {}
    for program, *words in commands(page):
        if program == "make":
            assert all(word in TARGETS for word in words if "=" not in word), words
        elif program == "fmrec" and words[0] != "()":
            assert words[0] in COMMANDS, words
            if words[0] not in helps:
                with pytest.raises(SystemExit):
                    main([words[0], "--help"])
                helps[words[0]] = capsys.readouterr().out
            for word in words[1:]:
                assert not word.startswith("--") or word in helps[words[0]], words
            if "--input" in words and words[0] == "run":
                given = json.loads(words[words.index("--input") + 1])
                assert set(given) <= {*KEYS, "promote", "rollback"}, words
        else:
            assert program in OTHER_PROGRAMS | {"fmrec"}, program


def test_the_readme_is_short_and_says_at_once_what_is_not_known() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) < README_WORDS
    assert "not yet run on AWS by its authors" in " ".join(text.split()[:120])


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/index.html").exists()


def test_pages_are_found_from_the_index() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    missing = [
        path.relative_to(ROOT / "docs").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
        if path.relative_to(ROOT / "docs").as_posix() not in navigation
    ]
    assert missing == []

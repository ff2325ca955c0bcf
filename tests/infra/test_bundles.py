"""What is uploaded: function code, the layer of their dependencies, Glue's library."""

import importlib.util
import re
import shutil
import subprocess
import zipfile
from typing import Any

import pytest

from stacks import bundles
from stacks.settings import Settings

LIMIT = 250 * 1024 * 1024
"""Code and layers of a function, unzipped."""


@pytest.fixture(scope="module")
def layer() -> Any:
    """The layer's Python folder, built by make setup."""
    return bundles.function_layer().with_suffix("") / "python"


def test_a_bundle_holds_sources_of_the_handler_and_the_library_and_nothing_else() -> None:
    with zipfile.ZipFile(bundles.function_code("check_quality")) as bundle:
        names = bundle.namelist()
        handler = bundle.read("handler.py")

    assert handler == (bundles.ROOT / "lambda/check_quality/handler.py").read_bytes()
    assert {"fmrec/__init__.py", "fmrec/execution/quality_gate.py"} <= set(names)
    assert any(name.startswith("fmrec/instances/") and name.endswith(".csv") for name in names)
    assert not [name for name in names if name.startswith("fmrec/encoding/")]
    assert {name.rsplit(".", 1)[1] for name in names} <= {"py", "csv", "json"}
    assert len(names) == len(set(names))


def test_a_bundle_has_the_same_bytes_every_time(tmp_path: Any, monkeypatch: Any) -> None:
    before = bundles.function_code("check_quality").read_bytes()
    monkeypatch.setattr(bundles, "BUILD", tmp_path)
    bundles._zipped_library.cache_clear()

    assert bundles.function_code("check_quality").read_bytes() == before


def test_every_function_is_under_the_limit_with_its_layer(layer: Any) -> None:
    from stacks.functions import function_settings

    def unzipped(archive: Any) -> int:
        with zipfile.ZipFile(archive) as opened:
            return sum(entry.file_size for entry in opened.infolist())

    code = [
        unzipped(bundles.function_code(name))
        for name in function_settings(Settings(), "bucket", "locks", "models")
    ]

    assert unzipped(bundles.function_layer()) + max(code) < LIMIT


def test_the_layer_holds_what_is_locked_for_the_runtime(layer: Any) -> None:
    lock = (bundles.ROOT / "lambda" / "requirements.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", lock, re.MULTILINE))
    installed = dict(
        path.name.removesuffix(".dist-info").replace("_", "-").rsplit("-", 1)
        for path in layer.glob("*.dist-info")
    )

    assert {"numpy", "pyarrow", "aws-lambda-powertools"} <= set(locked)
    assert installed == locked
    assert lock.count("--hash=sha256:") >= len(locked)


def test_extensions_are_for_the_runtimes_python_and_platform(layer: Any) -> None:
    extensions = [path.name for path in layer.rglob("*.so") if ".cpython-" in path.name]

    assert len(extensions) > 20
    assert {name.split(".", 1)[1] for name in extensions} == {"cpython-313-x86_64-linux-gnu.so"}


def test_every_arrow_library_that_an_extension_loads_is_still_there(layer: Any) -> None:
    present = {path.name for path in (layer / "pyarrow").iterdir()}
    for path in (layer / "pyarrow").glob("*.so*"):
        needed = set(re.findall(rb"lib(?:arrow|parquet)[a-z_]*\.so\.\d+", path.read_bytes()))
        assert {name.decode() for name in needed} <= present, path.name


def test_the_runtimes_own_python_imports_what_was_left(layer: Any) -> None:
    python = shutil.which("python3.13")
    works = (
        python is not None
        and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    )
    if python is None or not works:
        pytest.skip("there is no Python 3.13 here")
    imports = "import numpy, pyarrow.compute, pyarrow.json, pyarrow.parquet, aws_lambda_powertools"
    done = subprocess.run(
        [python, "-I", "-B", "-c", f"import sys; sys.path.insert(0, {str(layer)!r}); {imports}"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_nothing_that_is_not_needed_is_in_the_layer(layer: Any) -> None:
    names = [path.relative_to(layer).as_posix() for path in layer.rglob("*")]

    assert not [name for name in names if name.endswith((".pyc", ".h", ".pyx"))]
    assert not [name for name in names if "/tests/" in name or "boto" in name or "scipy/" in name]
    assert not [name for name in names if "flight" in name and name.endswith((".so", ".py"))]


def test_the_layer_is_built_once_for_a_lock_file(tmp_path: Any, monkeypatch: Any) -> None:
    path = bundles.ROOT / "scripts" / "build_lambda_layer.py"
    specification = importlib.util.spec_from_file_location("build_lambda_layer", path)
    assert specification is not None
    assert specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    installed = []

    def install(target: Any) -> None:
        installed.append(target)
        (target / "pyarrow" / "tests").mkdir(parents=True)
        (target / "pyarrow" / "lib.py").write_text("")

    lock = tmp_path / "requirements.txt"
    lock.write_text("numpy==1")
    monkeypatch.setattr(script, "LOCK", lock)
    monkeypatch.setattr(script, "LAYER", tmp_path / "layer")
    monkeypatch.setattr(script, "install", install)

    script.main()
    script.main()
    assert len(installed) == 1
    assert (tmp_path / "layer/python/pyarrow/lib.py").exists()
    assert not (tmp_path / "layer/python/pyarrow/tests").exists()
    before = (tmp_path / "layer.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "layer.zip") as archive:
        assert archive.namelist() == ["python/pyarrow/lib.py"]
    lock.write_text("numpy==2")
    script.main()
    assert len(installed) == 2
    assert (tmp_path / "layer.zip").read_bytes() == before  # the same files, the same bytes


def test_without_a_layer_synthesis_says_what_to_run(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(bundles, "LAYER", bundles.ROOT / "build" / "no-layer-here")

    with pytest.raises(FileNotFoundError, match="run `make setup`"):
        bundles.function_layer()


def test_glues_library_is_a_zip_with_the_same_bytes_every_time() -> None:
    archive = bundles.glue_library()
    before = archive.read_bytes()
    bundles.glue_library()

    assert archive.read_bytes() == before
    names = zipfile.ZipFile(archive).namelist()
    assert "fmrec/encoding/job.py" in names
    assert names == sorted(names)
    assert all(name.startswith("fmrec/") for name in names)

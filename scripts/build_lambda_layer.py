#!/usr/bin/env python3
"""Build the Lambdas' layer, build/lambda-layer.zip, from lambda/requirements.txt, without Docker.

uv fetches the wheels of the Lambda runtime's Python and platform, whatever machine this runs on, and
what Lambda never needs (tests, headers, network file systems that fmrec reaches through boto3) is
removed, since code and layers together may be 250 MB unzipped. The same files give the same bytes.
The CDK CLI would zip a folder anew for each output folder of a synthesis, which takes 8 CPU seconds.
Nothing is done while the lock file and this script are as they were when the layer was built.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from stacks.bundles import write_archive

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "lambda" / "requirements.txt"
LAYER = ROOT / "build" / "lambda-layer"

PYTHON_VERSION = "3.13"
PLATFORM = "x86_64-manylinux_2_28"

UNNEEDED = (
    "**/tests",
    "**/__pycache__",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxi",
    "**/*.pxd",
    "**/*.h",
    "bin",
    "numpy/_core/include",
    "numpy/_core/lib",
    "numpy/f2py",
    "pyarrow/include",
    "pyarrow/includes",
    "pyarrow/src",
    "pyarrow/_flight*",
    "pyarrow/flight.py",
    "pyarrow/libarrow_flight.so*",
    "pyarrow/libarrow_python_flight.so*",
    "pyarrow/_pyarrow_cpp_tests*",
    "pyarrow/_s3fs*",
    "pyarrow/_gcsfs*",
    "pyarrow/_azurefs*",
    "pyarrow/libarrow_s3.so*",
    # Copies that wheels hold in place of symbolic links: extensions load the name with the ABI number.
    "pyarrow/libarrow_python*.so",
    "pyarrow/libarrow_python*.so.*.*",
)


def fingerprint() -> str:
    """Change when what is installed or what is removed changes."""
    return hashlib.sha256(LOCK.read_bytes() + Path(__file__).read_bytes()).hexdigest()


def install(target: Path) -> None:
    """Install the locked wheels for the Lambda runtime into `target`."""
    # uv, because pips of some ages check requires-python against the interpreter that runs them.
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--system-certs"),
            *("--require-hashes", "--requirement", str(LOCK), "--target", str(target)),
            *("--only-binary", ":all:", "--python-version", PYTHON_VERSION, "--python-platform", PLATFORM),
        ],
        check=True,
    )


def prune(target: Path) -> None:
    """Remove what no handler imports."""
    for pattern in UNNEEDED:
        for path in list(target.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()


def main() -> None:
    stamp = LAYER.with_name(f"{LAYER.name}.sha256")  # beside it: what lies in the layer is uploaded
    wanted = fingerprint()
    zipped = LAYER.with_suffix(".zip")
    if LAYER.is_dir() and zipped.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    print("setup: building the Lambda layer", file=sys.stderr)
    fresh = LAYER.with_name(f"{LAYER.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    install(fresh / "python")
    prune(fresh / "python")
    shutil.rmtree(LAYER, ignore_errors=True)
    fresh.rename(LAYER)
    write_archive(zipped, sorted(path for path in LAYER.rglob("*") if path.is_file()), LAYER)
    stamp.write_text(wanted)


if __name__ == "__main__":
    main()

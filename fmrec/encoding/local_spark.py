"""A Spark session on this machine: what ``fmrec encode`` and the tests run on."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from fmrec.encoding.java_functions import remember_functions
from fmrec.errors import InputError


def local_session(
    cores: str = "*", memory: str = "2g", scratch: str | None = None, master: str | None = None
) -> SparkSession:
    """Start (or get) a local Spark session; ``master`` stands in for so many cores of this process.

    Raises
    ------
    InputError
        There is no Java.
    """
    java_home = os.environ.get("JAVA_HOME")
    if not (java_home and Path(java_home, "bin/java").exists()) and not shutil.which("java"):
        raise InputError(
            "Spark needs Java 17, and there is none on the PATH or in JAVA_HOME: install it, "
            "e.g. apt-get install openjdk-17-jre-headless or brew install openjdk@17"
        )
    # In a POSIX locale Java passes over files whose names aren't ASCII.
    names = [os.environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if "utf" not in next(filter(None, names), "").lower():
        os.environ["LC_ALL"] = "C.UTF-8"
    # Spark starts workers of its own, which must find this interpreter and this package.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    builder = (
        SparkSession.builder.master(master or f"local[{cores}]")
        .appName("fmrec encode")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.memory", memory)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.log.level", "ERROR")
        # Telling the JVM the line of each call took a tenth of a small encoding.
        .config("spark.python.sql.dataFrameDebugging.enabled", "false")
    )
    if scratch is not None:
        builder = builder.config("spark.local.dir", scratch)
    spark = builder.getOrCreate()
    remember_functions(spark)
    return spark

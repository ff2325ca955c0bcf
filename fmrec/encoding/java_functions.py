"""Spark's functions looked up once for a session.

For each ``F.col("user")`` PySpark asks the JVM for the class of functions, then for the function, and then
calls it (pyspark 4.1.1, ``functions/builtin.py``). For a class Py4J asks Java's class loader, which for a
name without a package looks into every JAR of Spark in vain first. A third of an encoding's calls were such
questions. What Py4J's objects have as attributes they don't ask for.
"""

from __future__ import annotations

from pyspark.sql import SparkSession

CLASSES = {
    "org.apache.spark.sql.functions": ("col", "lit", "when"),
    "functions": ("col", "lit"),
    "PythonUtils": ("toSeq",),
}
"""Classes by the names that PySpark has for them, with the functions of theirs that queries have most of."""


def remember_functions(spark: SparkSession) -> None:
    """Keep what PySpark asks the JVM for most, as long as the JVM runs."""
    jvm = spark.sparkContext._jvm
    for name, functions in CLASSES.items():
        found = getattr(jvm, name)
        for function in functions:
            setattr(found, function, getattr(found, function))
        setattr(jvm, name, found)

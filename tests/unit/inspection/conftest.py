"""One Spark session for all layouts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from fmrec.encoding.session import local_session
from localcloud.glue.spark import java_options, submit_arguments


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    folder = tmp_path_factory.mktemp("jvm")
    settings = folder / "spark.conf"
    settings.write_text(f"spark.driver.extraJavaOptions {java_options(folder)}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", submit_arguments(settings))
        session = local_session("2", scratch=str(tmp_path_factory.mktemp("spark")))
        session.conf.set("spark.sql.shuffle.partitions", "2")
        yield session
        session.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """PySpark leaves sockets to the garbage collector; everything else that warns is still an error."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for warning in ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"):
                item.add_marker(pytest.mark.filterwarnings(warning))

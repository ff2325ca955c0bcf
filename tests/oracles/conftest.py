from collections.abc import Iterator

import pytest

from bench.oracles.environments import MXNET_HAS_WHEELS, Oracle, mxnet_python, sdk_v2_python


@pytest.fixture(scope="session")
def sdk_v2() -> Iterator[Oracle]:
    """SageMaker Python SDK v2 in an environment of its own."""
    oracle = Oracle(sdk_v2_python(), "bench.oracles.sdk_v2_worker")
    yield oracle
    oracle.close()


@pytest.fixture(scope="session")
def mxnet() -> Iterator[Oracle]:
    """MXNet 1.9.1 in an environment of its own."""
    if not MXNET_HAS_WHEELS:
        pytest.skip("MXNet 1.9.1 has wheels for Linux on x86_64 only")
    oracle = Oracle(mxnet_python(), "bench.oracles.mxnet_worker")
    yield oracle
    oracle.close()

"""The recordIO codec against SageMaker SDK v2's and against a memory copy of the same bytes, in the same run.

    python -m bench.codec [--rows 1000000] [--sdk-rows 100000]

Every case is encoded from arrays to one array of bytes and decoded from bytes to a SciPy or NumPy matrix. The
SDK runs in an environment of its own (``bench/oracles``) on the first ``--sdk-rows`` rows, writing to memory
and reading to its Record objects, or from there on into an array for each tensor, which is still no matrix;
its bytes are checked to be ours. The copy reads the encoded bytes once and writes them once to a new array:
nothing that makes those bytes can be quicker. Times are processor seconds, the least of several runs, because
other work on a machine stretches the clock's.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.oracles.environments import Oracle, sdk_v2_python
from bench.targets import print_machine, verdict
from fmrec import recordio

ENCODE_TARGET, DECODE_TARGET = 100, 150
"""Times SDK v2's records per second on two-hot rows; decoding against its reader into arrays."""
RUNS = 5


@dataclass(frozen=True)
class Case:
    name: str
    matrix: Any
    labels: NDArray[np.float32]


def two_hot(users: int, items: int, rows: int) -> Case:
    """Rows of an interaction data set: one user column and one item column each."""
    generator = np.random.default_rng(0)
    columns = np.stack(
        [generator.integers(0, users, rows), users + generator.integers(0, items, rows)], axis=1
    )
    matrix = sparse.csr_matrix(
        (np.ones(2 * rows, np.float32), columns.ravel(), np.arange(0, 2 * rows + 1, 2)),
        shape=(rows, users + items),
    )
    labels = generator.integers(0, 2, rows).astype(np.float32)
    return Case(f"two-hot, {users + items:,} columns", matrix, labels)


def ragged(feature_dim: int, most: int, rows: int) -> Case:
    """Rows of 0 to ``most`` non-zeros anywhere."""
    generator = np.random.default_rng(1)
    indptr = np.concatenate([[0], np.cumsum(generator.integers(0, most + 1, rows))])
    matrix = sparse.csr_matrix(
        (
            generator.random(indptr[-1], np.float32),
            generator.integers(0, feature_dim, indptr[-1]),
            indptr,
        ),
        shape=(rows, feature_dim),
    )
    return Case(f"0 to {most} non-zeros, {feature_dim:,} columns", matrix, generator.random(rows, np.float32))


def dense(width: int, rows: int) -> Case:
    generator = np.random.default_rng(2)
    return Case(
        f"dense, {width} columns",
        generator.random((rows, width), np.float32),
        generator.random(rows, np.float32),
    )


def processor_seconds(work: Callable[[], object]) -> float:
    found = []
    for _ in range(RUNS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def encode(matrix: Any, labels: NDArray[np.float32]) -> NDArray[np.uint8]:
    if sparse.issparse(matrix):
        return recordio.encode_csr(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1], labels)
    return recordio.encode_dense(matrix, labels)


def sdk_seconds(sdk: Oracle, matrix: Any, labels: NDArray[np.float32]) -> tuple[float, float, float]:
    """Return the SDK's seconds for writing, reading, and reading into arrays; its bytes must be ours."""
    if sparse.issparse(matrix):
        parts = {name: getattr(matrix, name) for name in ("data", "indices", "indptr", "shape")}
        answer = sdk.ask(ask="write sparse", labels=labels, **parts)
    else:
        answer = sdk.ask(ask="write dense", array=matrix, labels=labels)
    if answer["content"].tobytes() != encode(matrix, labels).tobytes():
        raise RuntimeError("the SDK's bytes are not ours")
    reading = sdk.ask(ask="time reading", content=answer["content"])
    return float(answer["seconds"]), float(reading["seconds"]), float(reading["seconds to arrays"])


def report(case: Case, sdk: Oracle, sdk_rows: int) -> tuple[float, float]:
    """Measure and print a case; return how many times the SDK's rates of encoding and decoding ours are."""
    rows = case.matrix.shape[0]
    content = encode(case.matrix, case.labels)
    data = content.tobytes()
    copying = processor_seconds(content.copy) / rows
    encoding = processor_seconds(lambda: encode(case.matrix, case.labels)) / rows
    decoding = processor_seconds(lambda: recordio.read_matrix(io.BytesIO(data))) / rows
    sdk_rows = min(sdk_rows, rows)
    writing, reading, reading_to_arrays = sdk_seconds(sdk, case.matrix[:sdk_rows], case.labels[:sdk_rows])
    encode_ratio, decode_ratio = writing / sdk_rows / encoding, reading / sdk_rows / decoding
    print(f"{case.name}: {rows:,} rows of {len(data) / rows:.0f} bytes")
    for name, seconds, ratio, peer in (
        ("encode", encoding, encode_ratio, sdk_rows / writing),
        ("decode", decoding, decode_ratio, sdk_rows / reading),
        ("decode", decoding, reading_to_arrays / sdk_rows / decoding, sdk_rows / reading_to_arrays),
    ):
        own = " into arrays" if peer == sdk_rows / reading_to_arrays else ""
        print(
            f"  {name}: {1 / seconds / 1e6:6.2f} M records/s = {ratio:5.0f} x SDK v2 ({peer / 1e3:.0f} k/s{own}), "
            f"{seconds / copying:4.1f} x the time of a memory copy"
        )
    return encode_ratio, reading_to_arrays / sdk_rows / decoding


def main() -> None:
    from bench.codec_baseline import report_against_baseline

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sdk-rows", type=int, default=100_000)
    arguments = parser.parse_args()
    rows, sdk_rows = arguments.rows, arguments.sdk_rows
    print_machine("numpy", "numba")
    sdk = Oracle(sdk_v2_python(), "bench.oracles.sdk_v2_worker")
    try:
        encode_ratio, decode_ratio = report(two_hot(943, 1682, rows), sdk, sdk_rows)
        report(two_hot(10_000_000, 1_000_000, rows), sdk, sdk_rows)
        report(ragged(100_000, 40, rows // 5), sdk, sdk_rows // 5)
        report(dense(65, rows // 5), sdk, sdk_rows // 5)
    finally:
        sdk.close()
    verdict("encode two-hot, times SDK v2", encode_ratio, ENCODE_TARGET, at_most=False)
    verdict("decode two-hot, times SDK v2 into arrays", decode_ratio, DECODE_TARGET, at_most=False)
    report_against_baseline()


if __name__ == "__main__":
    main()

"""SageMaker's Factorization Machines artifact: model.tar.gz → model_algo-1 (ZIP) → meta.json, symbol.json,
params.

Entries are stored uncompressed in that order, as in artifacts of the same family. The parameters' names and
shapes tell which network was trained; both are read, the sparse one is written:

=======  ==========================  =========================================
part     sparse network              dense network
=======  ==========================  =========================================
factors  ``arg:v`` (n, k)            ``arg:v`` (k, n)
linear   ``arg:w1_weight`` (n, 1)    ``arg:Linear_Plus_Bias_weight`` (1, n)
bias     ``arg:w0_weight`` (1,)      ``arg:Linear_Plus_Bias_bias`` (1,)
=======  ==========================  =========================================

Sources: public consumers of such artifacts (the recipe ``Module.load('model', 0, False,
label_names=['out_label'])`` loads what is written here); the symbol follows MXNet's own sparse
factorization machine example, as the real graph isn't published.
"""

from __future__ import annotations

import errno
import gzip
import io
import json
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fmrec.errors import FormatError
from fmrec.model import mxnet_params
from fmrec.model.other_algorithms import seems_to_be
from fmrec.storage import object_store

MODEL_FILE = "model_algo-1"
ARCHIVE_FILE = "model.tar.gz"
MEMBERS = frozenset({"meta.json", "symbol.json", "params"})
ZIP_HEAD = b"PK"
SHOWN = 6
HEADS = {"binary_classifier": "LogisticRegressionOutput", "regressor": "LinearRegressionOutput"}
MAX_DOCUMENT_BYTES = 16 << 20
"""Of meta.json and symbol.json, which take some kilobytes."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a ZIP can hold: bytes must not depend on the clock."""


@dataclass(frozen=True)
class Artifact:
    """What an artifact holds: ``linear`` (n,), ``factors`` (n, k), both read-only views of a mapped file."""

    bias: float
    linear: NDArray[Any]
    factors: NDArray[Any]
    predictor_type: str
    training_parameters: dict[str, str]


def read(source: str | Path | BinaryIO) -> Artifact:
    """Read model.tar.gz, the ZIP in it, or a folder into which either was unpacked.

    The parameters are unpacked into a temporary file without a name and memory-mapped from there, so that
    memory holds only what is used of them; the file goes when the arrays do.

    Parameters
    ----------
    source
        Path, ``s3://`` URI or open binary file of the archive; path of a folder, or a URI that ends in ``/``.

    Raises
    ------
    FormatError
        Not such an archive (what it seems to be is said), something missing in it, or parameters whose names
        or shapes don't fit.
    InputError
        There is no such object.
    """
    if not isinstance(source, str | Path):
        return _read(source, getattr(source, "name", "the model"))
    name = str(source)
    names: set[str] = set()
    if "://" not in name and Path(name).is_dir():
        folder = _Folder(Path(name))
        names = folder.names
        if names >= MEMBERS:
            with _naming_archive(name):
                return _read_members(folder)
        name = _file_in(name, names)
    elif name.endswith("/"):
        names = _names_below(name)
        name = _file_in(name, names)
    with object_store.open_input(name) as file:
        return _read(file, name, names)


def write_archive(target: str | Path | BinaryIO, artifact: Artifact, *, row_sparse: bool) -> None:
    """Write model.tar.gz; equal artifacts give equal bytes."""
    if isinstance(target, str | Path):
        with object_store.open_output(str(target)) as file:
            write_archive(file, artifact, row_sparse=row_sparse)
        return
    with tempfile.TemporaryFile() as unpacked:
        write_zip(unpacked, artifact, row_sparse=row_sparse)
        entry = tarfile.TarInfo(MODEL_FILE)
        entry.size = unpacked.tell()
        unpacked.seek(0)
        # Level 1, because trained parameters are noise that hardly shrinks.
        with (
            gzip.GzipFile("", "wb", 1, target, mtime=0) as compressed,
            tarfile.open(fileobj=compressed, mode="w|", format=tarfile.GNU_FORMAT) as archive,
        ):
            archive.addfile(entry, unpacked)


def write_zip(file: BinaryIO, artifact: Artifact, *, row_sparse: bool) -> None:
    """Write ``model_algo-1``, the ZIP inside model.tar.gz."""
    parameters = {
        "arg:v": artifact.factors,
        "arg:w1_weight": artifact.linear.reshape(-1, 1),
        "arg:w0_weight": np.array([artifact.bias], np.float32),
    }
    rows, width = artifact.factors.shape
    meta = {"training_parameters": artifact.training_parameters, "version": 1, "epoch_number": 1}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("meta.json", _EPOCH), json.dumps(meta))
        symbol = json.dumps(symbol_graph(rows, width, artifact.predictor_type), indent=2)
        archive.writestr(zipfile.ZipInfo("symbol.json", _EPOCH), symbol)
        with archive.open(zipfile.ZipInfo("params", _EPOCH), "w", force_zip64=True) as params:
            sparse_names = ["arg:v", "arg:w1_weight"] if row_sparse else []
            mxnet_params.save(params, parameters, sparse_names)


def symbol_graph(feature_dim: int, num_factors: int, predictor_type: str) -> dict[str, Any]:
    """Return the MXNet graph of a factorization machine over sparse rows, as a symbol.json document.

    ``y = w0 + x w + ½ (Σ_f (x v_f)² − Σ_f x² v_f²)``, with a logistic or linear head named ``out``.
    """
    sparse_rows = {"__storage_type__": "1"}
    over_factors = {"axis": "1", "keepdims": "True"}
    nodes: list[tuple[str, str, dict[str, str], list[int]]] = [
        ("null", "data", {"__storage_type__": "2"}, []),
        ("null", "w1_weight", {"__shape__": f"({feature_dim}, 1)", **sparse_rows}, []),
        ("dot", "dot0", {}, [0, 1]),
        ("null", "w0_weight", {"__shape__": "(1,)"}, []),
        ("broadcast_add", "broadcast_add0", {}, [2, 3]),
        ("null", "v", {"__shape__": f"({feature_dim}, {num_factors})", **sparse_rows}, []),
        ("dot", "dot1", {}, [0, 5]),
        ("square", "square0", {}, [6]),
        ("_mul_scalar", "_mulscalar0", {"scalar": "0.5"}, [7]),
        ("Concat", "concat0", {"dim": "1", "num_args": "2"}, [4, 8]),
        ("sum", "sum0", over_factors, [9]),
        ("square", "square1", {}, [0]),
        ("_square_sum", "_square_sum0", over_factors, [5]),
        ("dot", "dot2", {}, [11, 12]),
        ("_mul_scalar", "_mulscalar1", {"scalar": "-0.5"}, [13]),
        ("elemwise_add", "_plus0", {}, [10, 14]),
        ("null", "out_label", {}, []),
        (HEADS[predictor_type], "out", {}, [15, 16]),
    ]
    return {
        "nodes": [
            {
                "op": operator,
                "name": name,
                **({"attrs": attributes} if attributes else {}),
                "inputs": [[node, 0, 0] for node in inputs],
            }
            for operator, name, attributes, inputs in nodes
        ],
        "arg_nodes": [place for place, node in enumerate(nodes) if node[0] == "null"],
        "node_row_ptr": list(range(len(nodes) + 1)),
        "heads": [[len(nodes) - 1, 0, 0]],
        "attrs": {"mxnet_version": ["int", 10901]},
    }


class _Folder:
    """A folder into which ``model_algo-1`` was unpacked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = {entry.name for entry in path.iterdir()}

    def size(self, name: str) -> int:
        return (self._path / name).stat().st_size

    def open(self, name: str) -> IO[bytes]:
        return (self._path / name).open("rb")


class _Zip:
    """``model_algo-1``."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = set(archive.namelist())

    def size(self, name: str) -> int:
        return self._archive.getinfo(name).file_size

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(name)


def _names_below(prefix: str) -> set[str]:
    """Return what is below a prefix, where SageMaker uploads a model that isn't to be compressed."""
    return {stored.uri.removeprefix(prefix) for stored in object_store.list_objects(prefix)}


def _file_in(folder: str, names: set[str]) -> str:
    """Return the path of the file to read in a folder."""
    for name in (MODEL_FILE, ARCHIVE_FILE):
        if name in names:
            return object_store.join(folder, name)
    raise FormatError(f"{folder}: {_no_model(sorted(names))}")


def _no_model(names: list[str], head: bytes = b"") -> str:
    """Say what an archive or a folder holds instead of a model."""
    kind = seems_to_be(names, head)
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    found = f"it holds {shown or 'nothing'}"
    is_there = MODEL_FILE in {PurePosixPath(name).name for name in names}
    expected = f"{MODEL_FILE}, a ZIP of {', '.join(sorted(MEMBERS))}" if is_there else MODEL_FILE
    return f"{found}{f': {kind}' if kind else ''}; expected a Factorization Machines model's {expected}"


def _read(file: BinaryIO, name: str, siblings: Collection[str] = ()) -> Artifact:
    with _naming_archive(name), tempfile.TemporaryFile() as unpacked:
        _unpack(file, unpacked, siblings)
        unpacked.seek(0)
        with zipfile.ZipFile(unpacked) as archive:
            return _read_members(_Zip(archive))


def _read_members(members: _Folder | _Zip) -> Artifact:
    if missing := MEMBERS - members.names:
        names = sorted(members.names)
        kind = seems_to_be(names) or "is this a Factorization Machines model?"
        raise FormatError(f"{MODEL_FILE} holds {names}, but not {sorted(missing)}: {kind}")
    training_parameters = _training_parameters(members)
    predictor_type = _predictor_type(training_parameters, members)
    with tempfile.TemporaryFile() as params:
        _check_room("params", members.size("params"))
        with members.open("params") as packed:
            shutil.copyfileobj(packed, params, 1 << 20)
        params.flush()
        arrays = mxnet_params.load(params)
    bias, linear, factors = _parameters(arrays)
    return Artifact(bias, linear, factors, predictor_type, training_parameters)


@contextmanager
def _naming_archive(name: str) -> Iterator[None]:
    """Turn what the archives' readers raise on damage into a sentence with the archive's name."""
    try:
        yield
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error
    except (
        *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, struct.error),
        *(EOFError, ValueError, NotImplementedError, RuntimeError),
    ) as error:
        raise FormatError(f"{name}: the archive is damaged: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise FormatError(f"{name}: the archive is damaged: it points outside itself") from error


def _unpack(file: BinaryIO, unpacked: IO[bytes], siblings: Collection[str]) -> None:
    """Copy the ZIP, which needs a seekable file, from what may be a stream."""
    if isinstance(file, io.BufferedReader):
        start = file.peek(8)[:8]
    else:
        start = file.read(8)
        file.seek(-len(start), io.SEEK_CUR)
    if start[:2] == ZIP_HEAD:
        shutil.copyfileobj(file, unpacked, 1 << 20)
        return
    if start[:2] != b"\x1f\x8b":
        if siblings:
            raise FormatError(_no_model(sorted(siblings), start))
        kind = seems_to_be([PurePosixPath(str(getattr(file, "name", ""))).name], start[:8])
        raise FormatError(
            f"it starts with {start[:2]!r}{f' ({kind})' if start else ''}: expected {ARCHIVE_FILE}, or the ZIP "
            f"{MODEL_FILE} in it"
        )
    # tarfile's own decompression leaks errors of other kinds on damage in some releases of Python 3.11.
    with (
        gzip.GzipFile(fileobj=file, mode="rb") as decompressed,
        tarfile.open(fileobj=decompressed, mode="r|") as archive,
    ):
        names, start = [], b""
        for member in archive:
            names.append(member.name)
            content = archive.extractfile(member) if PurePosixPath(member.name).name == MODEL_FILE else None
            if content is not None:
                start = content.read(8)
                if start[:2] == ZIP_HEAD:
                    _check_room(MODEL_FILE, member.size)
                    unpacked.write(start)
                    shutil.copyfileobj(content, unpacked, 1 << 20)
                    return
    raise FormatError(_no_model(names, start))


def _check_room(name: str, size: int) -> None:
    """Raise FormatError if a member would fill the disk: a small archive may hold a very large one."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if size > free:
        raise FormatError(
            f"{name} unpacks to {size:,} bytes, and {free:,} are free in {tempfile.gettempdir()}: give this "
            "machine or function more scratch space, or look whether it is a model that SageMaker trained"
        )


def _document(members: _Folder | _Zip, name: str) -> Any:
    """Return a JSON member, whose size is looked at before it is unpacked."""
    size = members.size(name)
    if size > MAX_DOCUMENT_BYTES:
        raise FormatError(
            f"{name} unpacks to {size} bytes: expected at most {MAX_DOCUMENT_BYTES}. Is this a model that "
            "SageMaker trained?"
        )
    with members.open(name) as member:
        # What a member says of its size may be wrong; without a limit all of it would be unpacked at once.
        content = member.read(MAX_DOCUMENT_BYTES)
    try:
        return json.loads(content)
    except RecursionError as error:
        raise FormatError(f"{name} is nested too deeply to be a model's") from error


def _training_parameters(members: _Folder | _Zip) -> dict[str, str]:
    meta = _document(members, "meta.json")
    parameters = meta.get("training_parameters", {}) if isinstance(meta, dict) else None
    if not isinstance(parameters, dict):
        raise FormatError("meta.json has no object training_parameters")
    return {name: str(value) for name, value in parameters.items()}


def _predictor_type(training_parameters: dict[str, str], members: _Folder | _Zip) -> str:
    """Return the type as trained with, or else the one whose head the network has."""
    named = training_parameters.get("predictor_type")
    if named in HEADS:
        return named
    symbol = _document(members, "symbol.json")
    nodes = symbol.get("nodes") if isinstance(symbol, dict) else None
    operators = {
        str(node.get("op")) for node in (nodes if isinstance(nodes, list) else []) if isinstance(node, dict)
    }
    for predictor_type, head in HEADS.items():
        if named is None and head in operators:
            return predictor_type
    raise FormatError(
        f"meta.json names the predictor_type {named!r} and symbol.json has the operators "
        f"{sorted(operators)}: expected {' or '.join(HEADS)}. Is this another algorithm's artifact?"
    )


def _parameters(arrays: dict[str, NDArray[Any]]) -> tuple[float, NDArray[Any], NDArray[Any]]:
    named = {name.removeprefix("arg:"): array for name, array in arrays.items()}
    if {"v", "w1_weight", "w0_weight"} <= set(named):
        factors, linear, bias = named["v"], named["w1_weight"], named["w0_weight"]
    elif {"v", "Linear_Plus_Bias_weight", "Linear_Plus_Bias_bias"} <= set(named):
        factors, linear = named["v"].T, named["Linear_Plus_Bias_weight"]
        bias = named["Linear_Plus_Bias_bias"]
    else:
        raise FormatError(
            f"the parameters are {sorted(arrays)}: expected v, w1_weight and w0_weight (sparse network), or v, "
            "Linear_Plus_Bias_weight and Linear_Plus_Bias_bias (dense network). Is this another algorithm's artifact?"
        )
    if factors.ndim != 2 or linear.size != factors.shape[0] or bias.size != 1:
        raise FormatError(
            f"the parameters' shapes don't fit: factors {factors.shape}, linear {linear.shape}, bias {bias.shape}"
        )
    return float(bias.reshape(-1)[0]), linear.reshape(-1), factors

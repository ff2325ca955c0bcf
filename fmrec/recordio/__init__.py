"""recordIO-protobuf, the format that SageMaker's built-in algorithms read, by whole arrays.

The writers and ``read_records`` have SageMaker SDK v2's names and write its bytes; for batches there are
``encode_csr``, ``encode_dense``, ``decode``, ``read_batches``, ``read_rows`` and ``read_matrix``. ``wire``
explains the bytes.
"""

from fmrec.recordio.decode import decode, read_batches, read_matrix, read_records, read_rows
from fmrec.recordio.encode import (
    csr_chunks,
    dense_chunks,
    encode_csr,
    encode_dense,
    write_numpy_to_dense_tensor,
    write_spmatrix_to_sparse_tensor,
)
from fmrec.recordio.inference_responses import decode_label_tensors, encode_label_tensors
from fmrec.recordio.record import Record
from fmrec.recordio.row_arrays import Rows

__all__ = [
    "Record",
    "Rows",
    "csr_chunks",
    "decode",
    "decode_label_tensors",
    "dense_chunks",
    "encode_csr",
    "encode_dense",
    "encode_label_tensors",
    "read_batches",
    "read_matrix",
    "read_records",
    "read_rows",
    "write_numpy_to_dense_tensor",
    "write_spmatrix_to_sparse_tensor",
]

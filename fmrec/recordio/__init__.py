"""recordIO-protobuf, the format that SageMaker's built-in algorithms read, by whole arrays.

The writers and ``read_records`` have SageMaker SDK v2's names and write its bytes; for batches there are
``encode_csr``, ``encode_dense``, ``decode``, ``read_batches`` and ``read_matrix``. ``wire`` explains the bytes.
"""

from fmrec.recordio.encode import (
    csr_chunks,
    dense_chunks,
    encode_csr,
    encode_dense,
    write_numpy_to_dense_tensor,
    write_spmatrix_to_sparse_tensor,
)

__all__ = [
    "csr_chunks",
    "dense_chunks",
    "encode_csr",
    "encode_dense",
    "write_numpy_to_dense_tensor",
    "write_spmatrix_to_sparse_tensor",
]

"""Loops over ragged records for numba to compile; imported only where numba is (see ``compiled``).

They take whole checked arrays. Buffers go on for ``wire.SPARE`` bytes, or ``read_frames.SLACK``, after their
last record: words are read and written that reach behind it.
"""

from fmrec.recordio.kernels.decoding import decode, split
from fmrec.recordio.kernels.encoding import encode

__all__ = ["decode", "encode", "split"]

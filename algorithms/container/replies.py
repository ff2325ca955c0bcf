"""Replies to /invocations: one object per record, as JSON, JSON Lines or recordIO-protobuf."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from algorithms.container.media_types import JSON, JSON_LINES, RECORDIO, MediaType
from fmrec.errors import InputError
from fmrec.recordio import encode_label_tensors

REPLY_TYPES = (JSON, JSON_LINES, RECORDIO)


def encode_reply(fields: Mapping[str, NDArray[np.float32]], accept: MediaType) -> bytes:
    """One reply object for each record.

    Parameters
    ----------
    fields
        Name to values: (records,) for a number a record, (records, n) for a list.
    accept
        JSON: ``{"predictions": [{...}, ...]}``; JSON Lines: one object per line, the last one ended too;
        recordIO-protobuf: a record each, with every field as a float32 tensor in its label.

    Raises
    ------
    InputError
        A field is not finite, which JSON has no number for: the record's values were too large.
    """
    for name, values in fields.items():
        wrong = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
        if wrong.size:
            raise InputError(
                f"the {name} of record {wrong[0]} is beyond float32: the values of its features are too large"
            )
    if accept.name == RECORDIO:
        return encode_label_tensors(
            {name: values.reshape(len(values), -1) for name, values in fields.items()}
        )
    template = "{{" + ", ".join(f"{json.dumps(name)}: {{}}" for name in fields) + "}}"
    objects = map(template.format, *(_texts(values) for values in fields.values()))
    if accept.name == JSON_LINES:
        return "".join(text + "\n" for text in objects).encode()
    return ('{"predictions": [' + ", ".join(objects) + "]}").encode()


def _texts(values: NDArray[np.float32]) -> list[str]:
    """JSON text of each record's value; one pass in C over all of them."""
    text = json.dumps(values.tolist())
    if values.ndim == 1:
        return text[1:-1].split(", ") if len(values) else []
    return ["[" + row + "]" for row in text[2:-2].split("], [")]

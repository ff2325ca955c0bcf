"""Arguments of a job run, parsed as ``awsglue.utils`` does on AWS (github.com/awslabs/aws-glue-libs)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

_RESERVED = (
    "job_bookmark_option",
    "job_bookmark_from",
    "job_bookmark_to",
    "JOB_ID",
    "JOB_RUN_ID",
    "SECURITY_CONFIGURATION",
    "encryption_type",
    "enable_data_lineage",
    "RedshiftTempDir",
    "TempDir",
)


class GlueArgumentError(Exception):
    """An argument that the script asks for was not given."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise GlueArgumentError(message)


def getResolvedOptions(args: Sequence[str], options: Sequence[str]) -> dict[str, str]:  # noqa: N802 - AWS's name
    """Values of ``options`` (without ``--``) in ``args``, plus the reserved ones that were given.

    Raises
    ------
    GlueArgumentError
        An option has no value in ``args``.
    RuntimeError
        An option has a reserved name.
    """
    for option in options:
        if option in _RESERVED and option not in ("JOB_ID", "JOB_RUN_ID", "TempDir"):
            raise RuntimeError(f"Using reserved arguments {option}")
    parser = _Parser(allow_abbrev=False)
    for option in dict.fromkeys((*options, *_RESERVED)):
        parser.add_argument(
            f"--{option.replace('_', '-') if option.startswith('job_') else option}",
            dest=option,
            required=option in options,
        )
    parsed, _ = parser.parse_known_args(list(args[1:] if args is sys.argv else args))
    return {name: value for name, value in vars(parsed).items() if value is not None}

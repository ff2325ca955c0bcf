"""``fmrec verify``: an acceptance run on the account that the environment points at, removed afterwards."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from fmrec.errors import InputError

EXIT_INCOMPLETE = 1
RATINGS = Path("build/data/ml-100k/ratings.csv")
"""Where `make verify-aws`, the demo and the tests keep the ratings once fetched."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit code: 0 when both runs ended well, every point has a verdict and nothing was left behind; 1 if not. "
        "A refuted point is a finding and doesn't change the exit code."
    )
    parser.add_argument("--yes", action="store_true", help="don't ask before creating anything")
    parser.add_argument("--remove", action="store_true", help="only remove what an earlier verification left")
    parser.add_argument("--profile", help="profile of the AWS configuration (default: the environment's)")
    parser.add_argument("--region", help="Region (default: the environment's)")
    parser.add_argument(
        "--checkout", type=Path, default=Path(), help="the project's checkout (default: this folder)"
    )
    parser.add_argument(
        "--ratings",
        type=Path,
        help=f"MovieLens 100k as CSV: user_id,item_id,rating,timestamp (default: {RATINGS} in the checkout)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("out/verify"),
        help="folder of the verdicts (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Verify; return 0, or 1 if a run failed or something is left."""
    from fmrec.verification import acceptance, removal, verdicts
    from fmrec.verification.deployment import require_bootstrap

    session = _session(arguments)
    checkout = arguments.checkout.resolve()
    if arguments.remove:
        removal.remove(session, checkout, checkout / "cdk.out", _tell)
        left = removal.left_behind(session)
        _tell("nothing is left" if not left else "left behind: " + ", ".join(left))
        return EXIT_INCOMPLETE if left else 0
    ratings = arguments.ratings or checkout / RATINGS
    if not ratings.is_file():
        raise InputError(
            f"{ratings} is missing: fetch MovieLens 100k with `make verify-aws`, or name it with --ratings"
        )
    require_bootstrap(session)
    print(acceptance.announcement(session.region_name))
    if not arguments.yes and not _agreed():
        print("nothing was created")
        return 0
    outcome = acceptance.verify(session, checkout, ratings, _tell)
    as_json, as_markdown = verdicts.write(outcome, arguments.output)
    print(verdicts.markdown(outcome))
    print(f"{as_markdown}, {as_json}")
    for problem in (outcome.failure, *(f"left behind: {name}" for name in outcome.left_behind)):
        if problem:
            print(problem, file=sys.stderr)
    return EXIT_INCOMPLETE if outcome.failure or outcome.left_behind else 0


def _session(arguments: argparse.Namespace) -> Any:
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session(profile_name=arguments.profile, region_name=arguments.region)
    except BotoCoreError as error:
        raise InputError(f"the AWS configuration can't be used: {error}") from error
    if not session.region_name:
        raise InputError("no Region is named: use --region or set AWS_DEFAULT_REGION")
    return session


def _agreed() -> bool:
    try:
        return input("Go on? Type yes: ").strip().lower() == "yes"
    except EOFError:
        return False


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

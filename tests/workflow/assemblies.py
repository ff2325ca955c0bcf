"""All that the workflow's tests deploy, synthesised by one process: ``python assemblies.py FOLDER``.

To load the CDK and begin takes three times as long as to synthesise the app once more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fmrec.verification.deployment import CONTEXT

ROOT = Path(__file__).resolve().parents[2]
QUIET_SECONDS = 15
EVENTS = {"fmrec.api": '{"events": {}}'}
ISSUER, AUDIENCE = "https://issuer.example", "audience-of-the-pool"
"""In the place of a user pool's and its app's, which are made in the cloud that the API is deployed to."""
ORIGIN = "https://shop.example"
TOKENS = {
    "events": {},
    "jwt": {"issuer": ISSUER, "audience": [AUDIENCE], "user_claim": "username"},
    "cors": {"allowed_origins": [ORIGIN]},
}
SETTINGS: dict[str, dict[str, str]] = {
    "deployed": EVENTS
    | {
        # A schedule, and a look at what is new, that a test lets come.
        "fmrec.start.schedule": "at(2099-01-01T00:00:00)",
        "fmrec.start.new_data": json.dumps({"check_minutes": 1440, "quiet_minutes": QUIET_SECONDS / 60}),
        # Updates are watched for three seconds, a test may ask the idle guard, and endpoints scale.
        "fmrec.serving.update.bake_minutes": "1",
        "fmrec.serving.idle_hours": "720",
        "fmrec.serving.scaling": '{"maximum_instances": 2}',
    },
    "other": {
        "fmrec.name": "Other",
        "fmrec.instances.policy": '{"families": ["m5"]}',
        "fmrec.instances.last_resort": '{"endpoint": "wait", "wait_minutes": 10}',
    },
    "tokens": {"fmrec.api": json.dumps(TOKENS)},
    "verification": dict(pair.split("=", 1) for pair in CONTEXT),
}
"""Context of the app by the folder of its templates."""


def main(folder: Path) -> None:
    """Write each assembly to a folder of its own."""
    from aws_cdk import App

    from app import build
    from stacks.settings import from_context

    flags = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    for name, context in SETTINGS.items():
        app = App(context=flags | context, outdir=str(folder / name))
        build(app, from_context(app.node.get_all_context()))
        app.synth()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

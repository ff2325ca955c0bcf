#!/usr/bin/env python3
"""Composition root: settings from cdk.json and ``-c``, then the stacks."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from aws_cdk import App, Tags

from fmrec.errors import SettingsError
from stacks.image_registry import check_region
from stacks.settings import Settings, from_context

if TYPE_CHECKING:
    from stacks.pipeline import PipelineStack
    from stacks.storage import StorageStack


def build(app: App, settings: Settings) -> tuple[StorageStack, PipelineStack]:
    """Put the stacks into the app; neither names an account or a region."""
    # Imported here, a wrong setting is told in half the time.
    from stacks.api import ApiStack
    from stacks.operations.budget import let_budgets_publish
    from stacks.pipeline import PipelineStack
    from stacks.storage import StorageStack
    from stacks.workflow.names import TAG

    storage = StorageStack(
        app,
        f"{settings.name}Storage",
        settings=settings,
        description="Data, recommendations and messages of the recommendation pipeline",
    )
    if settings.watch.monthly_budget_usd is not None:
        let_budgets_publish(storage)
    pipeline = PipelineStack(
        app,
        f"{settings.name}Pipeline",
        settings=settings,
        storage=storage,
        description="From interactions to top-N recommendations with SageMaker factorization machines and k-NN",
    )
    if settings.api is not None:
        ApiStack(
            app,
            f"{settings.name}Api",
            settings=settings,
            api=settings.api,
            storage=storage,
            description="Recommendations over HTTP, also for users whom no run has trained on",
        )
    Tags.of(app).add(TAG, settings.prefix)
    return storage, pipeline


def main() -> None:
    app = App()
    try:
        settings = from_context(app.node.get_all_context())
        # Where the CDK CLI will deploy to; not known where nobody has configured a Region.
        if region := os.environ.get("CDK_DEFAULT_REGION"):
            check_region(region)
    except SettingsError as error:
        sys.exit(str(error))
    build(app, settings)
    app.synth()


if __name__ == "__main__":
    main()

"""Routes about the model that serves and its items: names, attributes, the figures of its run."""

# Without `from __future__ import annotations`: the event handler reads the types of local functions.

from collections.abc import Iterable
from typing import Annotated

import numpy as np
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.openapi.params import Query

from fmrec.dataset.clicks import click
from fmrec.errors import MALFORMED, ServiceError
from fmrec.live.api.application import logger, succeeds
from fmrec.live.api.callers import Callers
from fmrec.live.api.schemas import (
    AttributeCount,
    AttributeList,
    AttributeValues,
    Click,
    ItemName,
    ItemNameList,
    Model,
    NamesRequest,
    Report,
)
from fmrec.live.attributes import Attribute
from fmrec.live.item_names import ItemNames
from fmrec.live.served_model import Champion
from fmrec.reporting.figures import figures

Text = Annotated[str, Query(min_length=1, max_length=256, description="Words of a name, or an id")]
Found = Annotated[int, Query(ge=1, le=100, description="Items at most")]
Values = Annotated[int, Query(ge=1, le=200, description="Values of each attribute at most")]


def add_routes(app: APIGatewayHttpResolver, champion: Champion, callers: Callers) -> None:
    """Add the routes; none of them is about a user, but the report is for callers who may ask for all."""

    @app.get("/items", summary="Items by words of their names", responses=succeeds(ItemNameList, 422, 503))
    def search(search: Text, n: Found = 20) -> ItemNameList:
        names = _names(champion)
        return _listed(names, names.search(search, n))

    @app.post("/items/names", summary="Names of items", responses=succeeds(ItemNameList, 422, 503))
    def item_names(body: NamesRequest) -> ItemNameList:
        names = _names(champion)
        return _listed(names, names.of(body.item_ids))

    @app.get("/attributes", summary="What lists are filtered by", responses=succeeds(AttributeList, 422, 503))
    def attributes(n: Values = 100) -> AttributeList:
        known = champion.model().live.attributes
        return AttributeList(attributes=[_values(known[name], n) for name in known])

    @app.get("/model", summary="The model that serves", responses=succeeds(Model, 503))
    def model() -> Model:
        served = champion.model()
        manifest = served.encoded.manifest
        return Model(
            dataset=champion.dataset,
            run=served.live.run,
            model_version=served.live.model_version,
            since=served.since,
            users=manifest.users,
            items=manifest.items,
            click=Click(**click(manifest.dataset)),
            names=champion.names.uri is not None,
        )

    @app.get(
        "/report",
        summary="Quality, instances and cost of the model that serves",
        responses=succeeds(Report, 403, 404, 503),
    )
    def report() -> Report:
        callers.check_all(app.current_event)
        run = champion.model().live.run
        found = champion.report(run)
        try:
            return Report.model_validate({"run": run} | figures(found))
        except MALFORMED as error:
            logger.error("the run's report is not as expected", exc_info=error)
            raise ServiceError(
                f"the report of run {run} is not as expected: see the function's log"
            ) from error


def _names(champion: Champion) -> ItemNames:
    model = champion.model().live
    return champion.names.of_run(model.run, model.item_ids)


def _listed(names: ItemNames, item_ids: Iterable[str]) -> ItemNameList:
    items = []
    for item_id in item_ids:
        named = names.names[item_id]
        items.append(ItemName(item_id=item_id, name=named.name, details=named.details))
    return ItemNameList(items=items)


def _values(attribute: Attribute, most: int) -> AttributeValues:
    counts = attribute.items_by_value
    best = np.argsort(-counts, kind="stable")[:most]
    values = [
        AttributeCount(value=attribute.values[int(at)].as_py(), items=int(counts[at]))
        for at in best
        if counts[at]
    ]
    return AttributeValues(name=attribute.name, values=values, distinct=len(attribute.values))

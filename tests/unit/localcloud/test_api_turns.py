"""How many requests of a crowd a function of an HTTP API answers at once."""

import asyncio
from collections import Counter
from typing import Any

from localcloud.hooks import apigateway


def test_a_functions_requests_wait_for_each_other_and_for_no_other_functions() -> None:
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def original(integration: dict[str, Any], *rest: Any) -> tuple[int, dict[str, str], bytes]:
        name = integration["integrationUri"]
        running[name] += 1
        most[name] = max(most[name], running[name])
        while running["slow"] < apigateway.AT_A_TIME and name == "slow":
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        running[name] -= 1
        return 200, {}, b"{}"

    proxy = apigateway._as_callers_see_it(original)

    async def crowd() -> list[Any]:
        names = ["slow"] * apigateway.AT_A_TIME * 2 + ["other"]
        calls = [proxy({"integrationUri": name}, "api", "stage", "/", "GET", {}, b"") for name in names]
        return await asyncio.wait_for(asyncio.gather(*calls), 30)

    assert {status for status, _, _ in asyncio.run(crowd())} == {200}
    assert most == {"slow": apigateway.AT_A_TIME, "other": 1}

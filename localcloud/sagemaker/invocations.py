"""The SageMaker runtime: InvokeEndpoint.

Limits and error texts: the API model of sagemaker-runtime and the InvokeEndpoint page of the API reference.
"""

from __future__ import annotations

import http.client
import time
import urllib.parse
from collections.abc import Callable

from localcloud.faults import ServiceFault
from localcloud.sagemaker.account import Account
from localcloud.sagemaker.container import Answer, Container
from localcloud.sagemaker.endpoints import Endpoints
from localcloud.sagemaker.watching import CloudWatch, Invocation

LARGEST_BODY_BYTES = 6 * (1 << 20)
ANSWER_SECONDS = 60.0
_DEATH_SECONDS = 0.5


class ModelFault(ServiceFault):
    """The container answered with an error, or not at all.

    ``fields`` are the members of botocore's ModelError next to the message: ``OriginalStatusCode``,
    ``OriginalMessage``, ``LogStreamArn``.
    """

    def __init__(self, message: str, fields: dict[str, str | int]) -> None:
        super().__init__("ModelError", message, 424)
        self.fields = fields


class Invocations:
    """Sends requests to the containers of endpoints."""

    def __init__(
        self,
        account: Account,
        endpoints: Endpoints,
        cloudwatch: CloudWatch,
        counted: Callable[[Invocation], None],
    ) -> None:
        self._account = account
        self._endpoints = endpoints
        self._cloudwatch = cloudwatch
        self._counted = counted

    def invoke(
        self,
        name: str,
        body: bytes,
        content_type: str | None,
        accept: str | None,
        custom_attributes: str | None,
    ) -> tuple[bytes, str, str]:
        """The container's answer, its content type, and the variant that served.

        Raises
        ------
        ServiceFault
            ``ValidationError`` for an unknown endpoint, ``413`` for a body above 6 MiB.
        ModelFault
            The container answered with an error, took longer than 60 s, or isn't there.
        """
        if len(body) > LARGEST_BODY_BYTES:
            # AWS's front end refuses before there is an error document; boto3 shows the status as the code.
            raise ServiceFault("413", f"HTTP content length exceeded {LARGEST_BODY_BYTES} bytes.", 413)
        headers = {
            header: value
            for header, value in (
                ("Content-Type", content_type),
                ("Accept", accept),
                ("X-Amzn-SageMaker-Custom-Attributes", custom_attributes),
            )
            if value
        }
        with self._endpoints.serving(name) as (variant, container):
            begun = time.monotonic()
            status = http.client.INTERNAL_SERVER_ERROR
            try:
                answer = self._ask(name, container, body, headers)
                status = answer.status
            finally:
                taken = (time.monotonic() - begun) * 1e6
                invocation = Invocation(name, variant, status, taken)
                self._cloudwatch.record(invocation)
                self._counted(invocation)
        if answer.status >= http.client.BAD_REQUEST:
            raise self._fault(name, answer.status, answer.body.decode("utf-8", "replace"))
        return answer.body, answer.content_type, variant

    def _ask(self, name: str, container: Container, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            return container.invoke(body, headers, ANSWER_SECONDS)
        except TimeoutError as error:
            raise self._fault(
                name,
                0,
                "Your invocation timed out while waiting for a response from container primary. Review the latency "
                "metrics for each container in Amazon CloudWatch, resolve the issue, and try again.",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            ended = container.ends_within(_DEATH_SECONDS)
            state = f"has ended ({container.ending()})" if ended else "is not reachable"
            raise self._fault(
                name,
                500,
                f"The container of the endpoint {state}. An unhealthy instance is replaced; try again later.",
            ) from error

    def _fault(self, name: str, status: int, text: str) -> ModelFault:
        side = "client" if 400 <= status < 500 else "server"
        region, number = self._account.region, self._account.number
        group = f"/aws/sagemaker/Endpoints/{name}"
        page = (
            f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
            f"#logEventViewer:group={urllib.parse.quote(group)}"
        )
        message = (
            f'Received {side} error ({status}) from primary with message "{text}". '
            f"See {page} in account {number} for more information."
        )
        return ModelFault(
            message,
            {
                "OriginalStatusCode": status,
                "OriginalMessage": text,
                "LogStreamArn": f"arn:{self._account.partition}:logs:{region}:{number}:log-group:{group}",
            },
        )

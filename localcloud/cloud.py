"""Everything that one local cloud consists of, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcloud.control import Control
from localcloud.faults import Faults
from localcloud.gateway import Service
from localcloud.glue.runs import GlueRuns
from localcloud.home import Home, LocalCloudError, Record
from localcloud.pricing import Pricing
from localcloud.quotas import Quotas, ServiceQuotas
from localcloud.sagemaker.api import SageMaker


@dataclass(frozen=True)
class Cloud:
    """The services of a running local cloud, and the emulator with its hooks in place."""

    home: Home
    record: Record
    emulator: Any
    control: Control
    faults: Faults
    sagemaker: SageMaker
    service_quotas: Service
    pricing: Service
    glue: GlueRuns

    @classmethod
    def build(cls, home: Home, record: Record, quotas: str) -> Cloud:
        """Build the services and hook them into the emulator, which must not have been imported before.

        Raises
        ------
        LocalCloudError
            A hook does not fit the emulator, or the quotas can't be read.
        """
        from localcloud import hooks

        hooks.check_version()
        faults = Faults()
        try:
            values = Quotas.from_source(quotas)
        except (OSError, ValueError) as error:
            raise LocalCloudError(str(error)) from error
        sagemaker = SageMaker(home.root, record.region, record.account, record.endpoint_url, values, faults)
        glue = GlueRuns(home, record)
        about = {
            "home": str(home.root),
            "pid": record.pid,
            "region": record.region,
            "account": record.account,
        }
        cloud = cls(
            home=home,
            record=record,
            emulator=hooks.emulator(),
            control=Control(
                home,
                about,
                faults,
                values,
                lambda: [*glue.processes(), *sagemaker.processes()],
                glue.take_jvm,
            ),
            faults=faults,
            sagemaker=sagemaker,
            service_quotas=ServiceQuotas(values, faults, record.region, record.account),
            pricing=Pricing(faults),
            glue=glue,
        )
        hooks.install(cloud)
        return cloud

    def close(self) -> None:
        """Stop executions, jobs and endpoints."""
        from localcloud.hooks import stepfunctions

        stepfunctions.abort_executions()
        self.glue.close()
        self.sagemaker.close()

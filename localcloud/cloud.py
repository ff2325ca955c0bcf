"""The services that one local cloud consists of."""

from __future__ import annotations

from dataclasses import dataclass

from localcloud.control import Control
from localcloud.faults import Faults
from localcloud.gateway import Service
from localcloud.glue.runs import GlueRuns
from localcloud.home import Home, Record
from localcloud.hooks.alarms import EmulatorCloudWatch
from localcloud.pricing import Pricing
from localcloud.quotas import Quotas, ServiceQuotas
from localcloud.sagemaker.api import SageMaker


@dataclass(frozen=True)
class Cloud:
    """The services of a running local cloud that the emulator lacks, and how they are steered."""

    home: Home
    record: Record
    control: Control
    faults: Faults
    sagemaker: SageMaker
    service_quotas: Service
    pricing: Service
    glue: GlueRuns

    @classmethod
    def build(cls, home: Home, record: Record, values: Quotas, wait_scale: float) -> Cloud:
        """Build the services; ``wait_scale`` is the factor on waits."""
        faults = Faults()
        sagemaker = SageMaker(
            home.root,
            record.region,
            record.account,
            record.endpoint_url,
            values,
            faults,
            cloudwatch=EmulatorCloudWatch(),
            wait_scale=wait_scale,
        )
        glue = GlueRuns(home, record)
        about = {
            "home": str(home.root),
            "pid": record.pid,
            "region": record.region,
            "account": record.account,
        }
        return cls(
            home=home,
            record=record,
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

    def close(self) -> None:
        """Stop jobs and endpoints."""
        self.glue.close()
        self.sagemaker.close()

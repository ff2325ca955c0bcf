"""Amazon SageMaker on this machine: control plane and runtime around the algorithm stand-ins."""

from localcloud.sagemaker.api import SageMaker

__all__ = ["SageMaker"]

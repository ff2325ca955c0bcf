"""The IAM actions that ``account`` needs: plain data, so that the stacks can grant exactly these.

Lists, quotas and prices know no resource, and the Describe calls are made for whatever runs in the
account: grant them on ``*``. A test records what is called and compares.
"""

READ_ACTIONS = (
    "servicequotas:ListServiceQuotas",
    "sagemaker:ListTrainingJobs",
    "sagemaker:DescribeTrainingJob",
    "sagemaker:ListTransformJobs",
    "sagemaker:DescribeTransformJob",
    "sagemaker:ListEndpoints",
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "pricing:GetProducts",
)
"""``account.observe``."""

DEFAULTS_ACTIONS = ("servicequotas:ListAWSDefaultServiceQuotas",)
"""``account.observe(with_defaults=True)``, as ``fmrec quotas`` does with a person's own rights."""

INCREASE_ACTIONS = (
    "servicequotas:ListRequestedServiceQuotaChangeHistoryByQuota",
    "servicequotas:RequestServiceQuotaIncrease",
)
"""``account.request_increase``."""

"""What the account may use and uses now. The only module here that calls AWS."""

from fmrec.instances.quotas import Account

__all__ = ["Account"]

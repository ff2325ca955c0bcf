"""Which SageMaker instances a run may use: by memory, quota and price, before anything is spent.

``plan.plan`` is the front door. Everything here is pure but ``account``, the only module that
calls AWS, with clients that the caller hands in.
"""

"""Trained models in SageMaker Model Registry, and how a person makes another one of them serve.

`model_record` is what is kept of a judged model in S3, `packages` what the registry knows of it,
`model_registry` the calls, `champion` what serves, `promotion` what ``{"promote": …}`` and ``{"rollback":
true}`` come down to.
"""

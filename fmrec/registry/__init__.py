"""Trained models in SageMaker Model Registry, and how a person makes another one of them serve.

`record` is what is kept of a judged model in S3, `packages` what the registry knows of it, `service` the
calls, `promotion` what ``{"promote": …}`` and ``{"rollback": true}`` come down to, `command` the command
line.
"""

"""Who may do what: sessions of IAM roles for jobs, and what a role's policies allow.

The emulator checks requests that come over HTTP. What the local cloud does inside itself in a
role's name (Step Functions tasks) is checked here, by the same policies.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Mapping
from typing import Any

from localcloud.home import ACCOUNT, Record


def role_name(role: str) -> str:
    """The name in a role's ARN, or the name itself."""
    return role.rsplit("/", 1)[-1]


def session_arn(role: str, session: str) -> str:
    """What IAM calls someone who has assumed the role."""
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/{role_name(role)}/{session}"


def credentials(role: str, session: str) -> dict[str, str]:
    """Environment variables with credentials of the role, valid until the server stops.

    Asking twice gives the same credentials.
    """
    from ministack.services import sts

    digest = hashlib.sha256(f"{role}:{session}".encode()).hexdigest()
    access_key = f"ASIA{digest[:16].upper()}"
    secret_key = hashlib.sha256(f"secret:{digest}".encode()).hexdigest()
    token = hashlib.sha256(f"token:{digest}".encode()).hexdigest()
    sts.register_session(
        access_key,
        {
            "Arn": session_arn(role, session),
            "UserId": f"{role_name(role)}:{session}",
            "SecretAccessKey": secret_key,
            "SessionToken": token,
        },
    )
    return {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_SESSION_TOKEN": token,
    }


def client(service: str, keys: Mapping[str, str], record: Record) -> Any:
    """boto3's client of a service of the local cloud, in the name of those whose `credentials` these are;
    without any, in that of boto3's own.
    """
    with _making:  # making a client is not thread-safe, using one is
        return _session().client(
            service,
            endpoint_url=record.endpoint_url,
            region_name=record.region,
            aws_access_key_id=keys.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=keys.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=keys.get("AWS_SESSION_TOKEN"),
        )


_making = threading.Lock()


@functools.cache
def _session() -> Any:
    """One for all clients: each reads botocore's descriptions of services anew."""
    import boto3  # the server starts faster without it

    return boto3.session.Session()


def denial(role: str, session: str, action: str, resource: str | None, region: str) -> str | None:
    """Why the role may not do ``action``, in IAM's words, or None if it may.

    Parameters
    ----------
    resource
        An ARN, or None to ask whether the role may do it to anything at all.
    """
    from ministack.core import iam_evaluator

    policies: list[list[Any]] = iam_evaluator._gather_role_policies(role_name(role), ACCOUNT)
    context = iam_evaluator.EvalContext(
        principal_arn=session_arn(role, session),
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=action,
        resource_arn=resource or "*",
        region=region,
        secure_transport=True,
        # Of the services that tasks call, SageMaker alone is handed a role.
        service_context={"iam:passedtoservice": "sagemaker.amazonaws.com"}
        if action == "iam:PassRole"
        else {},
    )
    if resource is None:
        allowed = any(
            statement.effect == "Allow"
            and iam_evaluator._action_matches(action, statement.actions, statement.not_actions)
            for statements in policies
            for statement in statements
        )
    else:
        allowed = iam_evaluator.evaluate(context, policies).decision == "Allow"
    if allowed:
        return None
    return (
        f"User: {session_arn(role, session)} is not authorized to perform: {action}"
        f"{'' if resource is None else f' on resource: {resource}'} "
        "because no identity-based policy allows the action"
    )

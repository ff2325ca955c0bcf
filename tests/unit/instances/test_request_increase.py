"""Asking Service Quotas for more: only where settings allow it, and never twice while a request is open."""

from __future__ import annotations

from typing import Any

import pytest

from fmrec.instances.account import request_increase
from fmrec.instances.permissions import INCREASE_ACTIONS
from fmrec.instances.quota_increases import increase_for

INCREASE = increase_for("ml.m5.large for endpoint usage", limit=0, used=0, wanted=1, region="eu-west-1")
HISTORY = "list_requested_service_quota_change_history_by_quota"


def history(status: str) -> dict[str, Any]:
    return {"RequestedQuotas": [{"Id": "r-1", "Status": status, "DesiredValue": 4.0}]}


def test_nothing_is_asked_for_unless_settings_allow_it(aws: Any) -> None:
    asked = request_increase(aws.clients.service_quotas, INCREASE, allowed=False)
    assert not asked.asked
    assert aws.called == []
    assert INCREASE.command in asked.sentence


def test_a_quota_whose_code_is_unknown_is_not_asked_for(aws: Any) -> None:
    unknown = increase_for("ml.r7i.48xlarge for endpoint usage", limit=0, used=0, wanted=1)
    asked = request_increase(aws.clients.service_quotas, unknown, allowed=True)
    assert not asked.asked
    assert "code is unknown" in asked.sentence
    assert aws.called == []


@pytest.mark.parametrize("status", ["PENDING", "CASE_OPENED"])
def test_an_increase_is_not_asked_for_while_one_is_open(aws: Any, status: str) -> None:
    aws.quotas.add_response(HISTORY, history(status), {"ServiceCode": "sagemaker", "QuotaCode": "L-614B09FD"})
    asked = request_increase(aws.clients.service_quotas, INCREASE, allowed=True)
    assert (asked.asked, asked.request_id) == (False, "r-1")
    assert "already open" in asked.sentence


def test_an_increase_is_asked_for_once_the_earlier_one_is_closed(aws: Any) -> None:
    aws.quotas.add_response(HISTORY, {**history("DENIED"), "NextToken": "x"})
    aws.quotas.add_response(HISTORY, history("CASE_CLOSED"))
    aws.quotas.add_response(
        "request_service_quota_increase",
        {"RequestedQuota": {"Id": "r-2", "Status": "PENDING"}},
        {"ServiceCode": "sagemaker", "QuotaCode": "L-614B09FD", "DesiredValue": 1.0},
    )
    asked = request_increase(aws.clients.service_quotas, INCREASE, allowed=True)
    assert (asked.asked, asked.request_id, asked.status) == (True, "r-2", "PENDING")
    assert set(aws.called) == set(INCREASE_ACTIONS)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ResourceAlreadyExistsException", "already open"),
        ("QuotaExceededException", "RequestServiceQuotaIncrease answered QuotaExceededException"),
    ],
)
def test_a_refused_request_is_told_and_not_raised(aws: Any, code: str, words: str) -> None:
    aws.quotas.add_response(HISTORY, {"RequestedQuotas": []})
    aws.quotas.add_client_error("request_service_quota_increase", code)
    asked = request_increase(aws.clients.service_quotas, INCREASE, allowed=True)
    assert not asked.asked
    assert words in asked.sentence

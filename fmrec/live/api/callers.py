"""Who may ask for which users: by a claim of the token that API Gateway has verified.

In the function's event claims are texts, and those that are lists ``[a b]`` (API Gateway developer guide,
"Control access to HTTP APIs with JWT authorizers").
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fmrec.errors import ForbiddenError

USER_CLAIM, ANY_USER_SCOPE = "USER_CLAIM", "ANY_USER_SCOPE"
"""Environment variables of the functions that answer."""


@dataclass(frozen=True)
class Callers:
    """What callers may ask for: every user's lists, or those of the one user whom their token names.

    ``user_claim`` is the claim that is the caller's own user id, None where every caller may ask for every
    user; a token with ``any_user_scope`` may.
    """

    user_claim: str | None = None
    any_user_scope: str | None = None

    @classmethod
    def of_environment(cls) -> Callers:
        """As the function's environment says."""
        return cls(os.environ.get(USER_CLAIM), os.environ.get(ANY_USER_SCOPE))

    def check(self, event: Mapping[str, Any], user_ids: Iterable[str]) -> None:
        """Refuse a request for users of whom one is not the caller's own.

        Raises
        ------
        ForbiddenError
            One of them is somebody else, or the token has no such claim.
        """
        if self._may_ask_for_all(event):
            return
        own = _claims(event).get(self.user_claim or "")
        if not own:
            raise ForbiddenError(
                f"the token has no claim {self.user_claim!r}, which names the user whom it may ask for"
            )
        for user_id in user_ids:
            if user_id != own:
                raise ForbiddenError(
                    f"user {user_id!r} is not the caller: the token's claim {self.user_claim!r} has another id"
                    + self._how_else()
                )

    def check_all(self, event: Mapping[str, Any]) -> None:
        """Refuse a request whose answer is about many users.

        Raises
        ------
        ForbiddenError
            The caller may ask for one user only.
        """
        if not self._may_ask_for_all(event):
            raise ForbiddenError(f"the answer is about many users, and the token about one{self._how_else()}")

    def _may_ask_for_all(self, event: Mapping[str, Any]) -> bool:
        if self.user_claim is None:
            return True
        return self.any_user_scope is not None and self.any_user_scope in _scopes(_claims(event))

    def _how_else(self) -> str:
        return f"; a token with the scope {self.any_user_scope!r} may ask" if self.any_user_scope else ""


def _claims(event: Mapping[str, Any]) -> Mapping[str, str]:
    authorizer = (event.get("requestContext") or {}).get("authorizer") or {}
    return (authorizer.get("jwt") or {}).get("claims") or {}


def _scopes(claims: Mapping[str, str]) -> set[str]:
    texts = (claims.get(name, "") for name in ("scope", "scp"))
    return {scope for text in texts for scope in text.strip("[]").split()}

"""A stand-in of an OpenID Connect provider: the authorization code flow with PKCE, for one public client.

It shows no page to sign in on: whoever comes is the user that the test has named. What a real provider would
refuse (OpenID Connect Core 1.0, RFC 7636), it refuses.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

CLIENT_ID = "page"
SECONDS = 3600


@dataclass
class Provider:
    """Its WSGI application; ``url`` and ``page`` (the origin of the client) are known once all are served."""

    url: str = ""
    page: str = ""
    user: str = "u0"
    scope: str = "openid lists/read"
    tampered: dict[str, str] = field(default_factory=dict)
    """What answers have in place of what they should have: ``state`` or ``nonce``."""
    asked: list[str] = field(default_factory=list)
    """Paths of requests."""
    api: dict[str, str] = field(default_factory=dict)
    """``audience`` and ``resource``, without which it gives tokens that are no JWT."""
    revoked: bool = False
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _issued: dict[str, dict[str, Any]] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """What config.json says of it."""
        return {
            "issuer": self.url,
            "client_id": CLIENT_ID,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "sign_out_endpoint": f"{self.url}/logout",
            "scopes": ["openid", "lists/read"],
            "user_claim": "sub",
            "any_user_scope": "lists/any-user",
        }

    def claims(self, authorization: str) -> dict[str, str] | None:
        """The JWT authorizer: the claims of an access token of this provider that has not expired."""
        found = self._issued.get(authorization.removeprefix("Bearer "))
        if found is None or self.revoked or found["exp"] < time.time():
            return None
        return {name: str(value) for name, value in found.items()}

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        self.asked.append(asked)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        text = environ["QUERY_STRING"] if asked.startswith("GET") else body
        given = {name: values[0] for name, values in parse_qs(text).items()}
        answers: dict[str, Callable[[dict[str, str]], tuple[str, str]]] = {
            "GET /authorize": self._authorize,
            "GET /logout": self._sign_out,
        }
        if asked == "POST /token":
            status, document = self._token(given, environ)
            kind = [("Content-Type", "application/json"), ("Access-Control-Allow-Origin", self.page)]
            start_response(status, kind)
            return [json.dumps(document).encode()]
        status, location = answers[asked](given) if asked in answers else ("404 Not Found", "")
        start_response(status, [("Location", location)] if location else [])
        return []

    def _authorize(self, given: dict[str, str]) -> tuple[str, str]:
        wanted = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": f"{self.page}/",
            "code_challenge_method": "S256",
            "scope": "openid lists/read",
        }
        if not wanted.items() <= given.items() or min(len(given[name]) for name in ("state", "nonce")) < 32:
            return "400 Bad Request", ""
        code = secrets.token_urlsafe()
        self._codes[code] = given
        answer = {"code": code, "state": given["state"]} | self.tampered
        answer.pop("nonce", None)
        return "302 Found", f"{given['redirect_uri']}?{urlencode(answer)}"

    def _token(self, given: dict[str, str], environ: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        asked = self._codes.pop(given.get("code", ""), None)
        verifier = given.get("code_verifier", "")
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != given.get("redirect_uri")
            or (given.get("grant_type"), given.get("client_id")) != ("authorization_code", CLIENT_ID)
            or "client_secret" in given
            or asked.get("resource") != given.get("resource")
            or "HTTP_AUTHORIZATION" in environ
            or not 43 <= len(verifier) <= 128
        ):
            return "400 Bad Request", {"error": "invalid_grant"}
        common = {"iss": self.url, "sub": self.user, "exp": int(time.time()) + SECONDS}
        identity = common | {"aud": CLIENT_ID, "nonce": self.tampered.get("nonce", asked["nonce"])}
        access = common | {"client_id": CLIENT_ID, "scope": self.scope}
        meant = self.api.items() <= asked.items()
        token = _jwt(access) if meant else secrets.token_urlsafe()
        if meant:
            self._issued[token] = access
        return "200 OK", {
            "access_token": token, "id_token": _jwt(identity), "token_type": "Bearer", "expires_in": SECONDS
        }  # fmt: skip

    def _sign_out(self, given: dict[str, str]) -> tuple[str, str]:
        if (given.get("client_id"), given.get("logout_uri")) != (CLIENT_ID, f"{self.page}/"):
            return "400 Bad Request", ""
        return "302 Found", given["logout_uri"]


def _jwt(claims: dict[str, Any]) -> str:
    """A token whose signature is a random number: the authorizer knows what was issued."""
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    encoded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, secrets.token_urlsafe()])

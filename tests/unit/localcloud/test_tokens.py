"""Routes with a JWT authorizer: what a token needs, checked with tokens that a real issuer has signed."""

from __future__ import annotations

import base64
import http.client
import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.fixtures.serving import Serving

CODE = "def handler(event, context):\n    return event['requestContext']['authorizer']\n"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@dataclass
class Issuer:
    """An OpenID Connect issuer: where its keys are, and tokens that it signs."""

    url: str = ""
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def keys(self) -> dict[str, Any]:
        public = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k1"}
        return {"keys": [key | {"n": number(public.n), "e": number(public.e)}]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good token says, with changes; None leaves a claim out."""
        now = int(time.time())
        good = {"iss": self.url, "aud": "shop", "sub": "ann", "exp": now + 600, "iat": now - 5}
        return {name: value for name, value in (good | changes).items() if value is not None}

    def token(self, key: rsa.RSAPrivateKey | None = None, **changes: Any) -> str:
        header = encoded(json.dumps({"alg": "RS256", "kid": "k1"}).encode())
        signed = f"{header}.{encoded(json.dumps(self.claims(**changes)).encode())}"
        signature = (key or self.key).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{encoded(signature)}"

    def forged(self) -> str:
        """A token signed with the public key as a shared secret, as verifiers that trust ``alg`` accept."""
        header = encoded(json.dumps({"alg": "HS256", "kid": "k1"}).encode())
        signed = f"{header}.{encoded(json.dumps(self.claims()).encode())}"
        digest = hmac.HMAC(json.dumps(self.keys["keys"][0]).encode(), hashes.SHA256())
        digest.update(signed.encode())
        return f"{signed}.{encoded(digest.finalize())}"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    found = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            about = {"issuer": found.url, "jwks_uri": f"{found.url}/keys"}
            document = found.keys if self.path == "/keys" else about
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, Serving(server):
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found


@pytest.fixture(scope="module")
def api(cloud: Any, issuer: Issuer) -> str:
    """An API with a route for every token and one that needs a scope."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", CODE)
    function = cloud.client("lambda").create_function(
        FunctionName="tokens",
        Runtime="python3.13",
        Handler="index.handler",
        Role=cloud.role("tokens", "lambda", "logs:*"),
        Code={"ZipFile": archive.getvalue()},
    )["FunctionArn"]
    gateway = cloud.client("apigatewayv2")
    api = str(gateway.create_api(Name="tokens", ProtocolType="HTTP")["ApiId"])
    integration = gateway.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=function, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    authorizer = gateway.create_authorizer(
        ApiId=api,
        Name="tokens",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": issuer.url, "Audience": ["shop", "app"]},
    )["AuthorizerId"]
    for path, scopes in (("/any", []), ("/scoped", ["lists/read", "lists/all"])):
        gateway.create_route(
            ApiId=api,
            RouteKey=f"GET {path}",
            AuthorizationType="JWT",
            AuthorizerId=authorizer,
            AuthorizationScopes=scopes,
            Target=f"integrations/{integration}",
        )
    gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    return api


def ask(cloud: Any, api: str, token: str, path: str = "/any") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.record["port"], timeout=60)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request("GET", f"/_aws/execute-api/{api}{path}", headers=headers)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text)


def test_a_good_token_reaches_the_function_with_its_claims_as_texts(
    cloud: Any, api: str, issuer: Issuer
) -> None:
    status, authorizer = ask(cloud, api, issuer.token(aud=["other", "app"], groups=["a", "b"], level=3))
    claims = authorizer["jwt"]["claims"]
    assert status == 200
    assert (claims["sub"], claims["groups"], claims["level"]) == ("ann", "[a b]", "3")
    assert ask(cloud, api, issuer.token(aud=None, client_id="shop"))[0] == 200


def test_a_token_that_does_not_hold_is_refused(cloud: Any, api: str, issuer: Issuer) -> None:
    now = int(time.time())
    wrong: dict[str, dict[str, Any]] = {
        "expired": {"exp": now - 1},
        "without an end": {"exp": None},
        "an end that is no time": {"exp": "tomorrow"},
        "not valid yet": {"nbf": now + 600},
        "of the future": {"iat": now + 600},
        "of another issuer": {"iss": f"{issuer.url}/"},
        "for others": {"aud": "another"},
        "for others, whatever its client": {"aud": "another", "client_id": "shop"},
        "for nobody": {"aud": None},
    }
    for name, changes in wrong.items():
        assert ask(cloud, api, issuer.token(**changes)) == (401, {"message": "Unauthorized"}), name
    another_key = rsa.generate_private_key(65537, 2048)
    for token in ("", "no.token", issuer.token(key=another_key), issuer.forged()):
        assert ask(cloud, api, token)[0] == 401, token


def test_a_route_with_scopes_needs_one_of_them(cloud: Any, api: str, issuer: Issuer) -> None:
    assert ask(cloud, api, issuer.token(), "/scoped") == (403, {"message": "Forbidden"})
    assert ask(cloud, api, issuer.token(scope="lists/rea openid"), "/scoped")[0] == 403
    for given in ({"scope": "openid lists/read"}, {"scp": ["lists/all"]}):
        assert ask(cloud, api, issuer.token(**given), "/scoped")[0] == 200

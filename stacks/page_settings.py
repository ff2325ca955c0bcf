"""Settings of the page that is deployed with the API: its domain, and where its readers sign in."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from fmrec.errors import SettingsError
from stacks.section import Section

DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,63}")
CERTIFICATE = re.compile(r"arn:aws:acm:us-east-1:\d{12}:certificate/[0-9a-f-]{36}")
ENDPOINT = re.compile(r"https://[a-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?")
OPENID = "openid"

Text = Annotated[str, Field(min_length=1, max_length=256)]


class Page(Section):
    """The page of `fmrec explore`, served by CloudFront from a private bucket to readers who sign in."""

    domain: str
    """Its host, such as ``recommendations.example.com``: CloudFront's own names allow TLS before 1.2."""
    certificate: str
    """ARN of the domain's certificate in AWS Certificate Manager, in us-east-1, where CloudFront reads it."""
    client_id: Text
    """Of the page at the issuer: a public client with the code flow, which returns to ``https://<domain>/``."""
    authorization_endpoint: str
    """The issuer's page to sign in on, as its discovery document has it."""
    token_endpoint: str
    """Where the issuer answers a code with tokens."""
    sign_out_endpoint: str | None = None
    """The issuer's page to sign out on; without one the page forgets its token and no more."""
    scopes: Annotated[list[Text], Field(min_length=1, max_length=50)] = Field(
        default_factory=lambda: [OPENID]
    )
    """What the page asks for at the sign-in."""
    audience: Text | None = None
    """Sent as ``audience`` at the sign-in, where the issuer wants the API named, such as Auth0."""
    resource: Text | None = None
    """Sent as ``resource`` (RFC 8707) at the sign-in and with the code, where the issuer wants that."""
    store_clicks: bool = False
    """Whether clicks are posted as events of the reader, which the next run learns from."""

    @property
    def origin(self) -> str:
        return f"https://{self.domain}"

    @property
    def token_origin(self) -> str:
        """Scheme, host and port of the token endpoint."""
        return "/".join(self.token_endpoint.split("/")[:3])

    @field_validator("domain")
    @classmethod
    def _domain(cls, value: str) -> str:
        if not DOMAIN.fullmatch(value):
            raise SettingsError(
                f"api.page.domain is {value!r}: expected a host in lower case, such as recommendations.example.com"
            )
        return value

    @field_validator("certificate")
    @classmethod
    def _certificate(cls, value: str) -> str:
        if not CERTIFICATE.fullmatch(value):
            raise SettingsError(
                f"api.page.certificate is {value!r}: expected the ARN of a certificate of AWS Certificate Manager in "
                "us-east-1, whatever the deployment's Region: arn:aws:acm:us-east-1:<account>:certificate/<id>"
            )
        return value

    @field_validator("authorization_endpoint", "token_endpoint", "sign_out_endpoint")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is not None and not ENDPOINT.fullmatch(value):
            raise SettingsError(
                f"api.page has the address {value!r}: expected an https:// URL without a query, as the issuer's "
                "/.well-known/openid-configuration has it"
            )
        return value

    @field_validator("scopes")
    @classmethod
    def _scopes(cls, value: list[str]) -> list[str]:
        if OPENID not in value:
            raise SettingsError(
                f"api.page.scopes is {value}: expected {OPENID!r} among them, without which the issuer doesn't say "
                "for which sign-in a token is"
            )
        return value

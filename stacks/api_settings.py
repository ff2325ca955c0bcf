"""Settings of the HTTP API: who may ask, from which web pages, how often, and whether it takes events."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from fmrec.artifacts import layout
from fmrec.errors import SettingsError
from fmrec.live.api.callers import ANY_USER_SCOPE, USER_CLAIM
from stacks.page_settings import Page
from stacks.section import Section

ROUTES = (
    "GET /users/{user_id}/recommendations",
    "POST /recommendations",
    "GET /items/{item_id}/similar",
    "GET /items/{item_id}/audience",
    "POST /rank",
    "GET /popular",
    "GET /items",
    "POST /items/names",
    "GET /attributes",
    "GET /model",
    "GET /report",
)
EVENT_ROUTES = ("POST /events",)
ERASURE_ROUTES = ("DELETE /users/{user_id}",)
"""Where the API takes events."""
EVERY_ROUTE = "*"
PAGE_ROUTES = tuple(
    route for route in ROUTES if route not in {"POST /rank", "GET /items/{item_id}/audience", "GET /report"}
)
"""What the page asks of every reader."""

ALLOWED_HEADERS = (
    "authorization",
    "content-type",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
)
"""What a token or a signature is sent in, and the kind of the body."""

ISSUER = re.compile(r"https://[^\s/?#@]+(/[^\s?#]*)?")
ORIGIN = re.compile(r"https://[a-z0-9.-]+(:\d{1,5})?|http://(localhost|127\.0\.0\.1)(:\d{1,5})?")
NAMES_KEY = re.compile(rf"{layout.RAW}[A-Za-z0-9_./=-]{{1,512}}\.(csv|tsv)")
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749, section 3.3."""

Text = Annotated[str, Field(min_length=1, max_length=256)]


class Events(Section):
    """What the HTTP API stores of what users do, and lands in raw/."""

    keep_days: Annotated[int, Field(ge=7, le=3650)] = 90
    """How long an event counts for live lists; in raw/ it stays."""
    land_within_seconds: Annotated[int, Field(ge=0, le=300)] = 60
    """How long events are gathered for one file."""


class ItemNames(Section):
    """A file of the data bucket with names of items, which the API then knows."""

    key: str
    """Such as ``raw/items/films.csv``; with a header, separated by tabs where it ends in ``.tsv``."""
    columns: Annotated[list[Text], Field(max_length=20)] = Field(default_factory=list)
    """Its fields with the id, the name, and what is shown below the name; by default the first two."""

    @field_validator("key")
    @classmethod
    def _key(cls, value: str) -> str:
        if not NAMES_KEY.fullmatch(value):
            raise SettingsError(
                f"api.item_names.key is {value!r}: expected a file under {layout.RAW} of the data bucket that ends in "
                f".csv or .tsv, such as {layout.RAW}items/films.csv"
            )
        return value


class Jwt(Section):
    """Requests bring a token of an OpenID Connect issuer, such as a Cognito user pool, and no signature."""

    issuer: str
    """Tokens' ``iss``, to the letter; API Gateway reads its keys at ``/.well-known/openid-configuration``."""
    audience: Annotated[list[Text], Field(min_length=1, max_length=50)]
    """Tokens' ``aud``, or ``client_id`` where they have none: one of these."""
    scopes: dict[str, list[Text]] = Field(default_factory=dict)
    """By route, such as ``POST /rank``, or ``*`` for routes that are not named: a token needs one of them."""
    user_claim: Text | None = "sub"
    """The claim that is the caller's own user id: a caller may ask for that user alone. None: for anybody."""
    any_user_scope: Text | None = None
    """Tokens with this scope may ask for any user all the same."""

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        if not ISSUER.fullmatch(value):
            raise SettingsError(
                f"api.jwt.issuer is {value!r}: expected the https:// URL that tokens have as 'iss', without a query"
            )
        return value

    @model_validator(mode="after")
    def _across(self) -> Jwt:
        for route, wanted in self.scopes.items():
            if not wanted:
                raise SettingsError(f"api.jwt.scopes.{route} is empty: name a scope, or leave the route out")
        named = [scope for wanted in self.scopes.values() for scope in wanted]
        for scope in (*named, *([self.any_user_scope] if self.any_user_scope else [])):
            if not SCOPE.fullmatch(scope):
                raise SettingsError(
                    f"the scope {scope!r} of api.jwt can't be in a token: it has a blank or a quote"
                )
        if self.any_user_scope is not None and self.user_claim is None:
            raise SettingsError(
                "api.jwt.any_user_scope says which tokens may ask for users other than their own, but "
                "api.jwt.user_claim is null, so that all may: leave one of the two out"
            )
        return self

    def scopes_of(self, route: str) -> list[str]:
        """Of which a token needs one; none for a valid token that needs no scope."""
        return self.scopes.get(route, self.scopes.get(EVERY_ROUTE, []))


class Cors(Section):
    """Web pages of other origins may call the API; the gateway answers their preflights."""

    allowed_origins: Annotated[list[str], Field(min_length=1, max_length=100)]
    """Such as ``https://shop.example``, or ``*`` alone for every page."""
    max_age_seconds: Annotated[int, Field(ge=0, le=86400)] = 3600
    """How long a browser may keep the answer to a preflight."""

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise SettingsError(
                    f"api.cors.allowed_origins has {origin!r}: expected https://, a host in lower case and no path "
                    "(http:// for localhost only), or '*'"
                )
        if "*" in value and len(value) > 1:
            raise SettingsError(
                "api.cors.allowed_origins has '*', which is every origin, next to others: keep '*' or the others"
            )
        return value


class Api(Section):
    """The HTTP API; its requests are signed (IAM), or bring a token."""

    memory_mb: Annotated[int, Field(ge=512, le=10240)] = 2048
    """Of the function that answers; it holds the items' vectors."""
    requests_per_second: Annotated[int, Field(ge=1, le=10000)] = 100
    """Of all callers together; beyond it they get 429."""
    burst: Annotated[int, Field(ge=1, le=5000)] = 200
    """Requests at once that are let through beyond the rate."""
    endpoint_from_items: Annotated[int, Field(ge=1)] | None = None
    """From so many items on, live lists are ranked by the k-NN endpoint; by default never."""
    item_names: ItemNames | None = None
    """Whether it knows names of items, and from where."""
    events: Events | None = None
    """Whether it takes events: ``{}`` does on the defaults."""
    jwt: Jwt | None = None
    """Whether requests bring a token instead of a signature."""
    cors: Cors | None = None
    """Whether web pages of other origins may call it."""

    page: Page | None = None
    """Whether the page of `fmrec explore` is deployed with it."""

    @property
    def origins(self) -> list[str]:
        """Origins of web pages that may call it."""
        found = [] if self.cors is None else list(self.cors.allowed_origins)
        return found if self.page is None or "*" in found else sorted({*found, self.page.origin})

    @property
    def routes(self) -> tuple[str, ...]:
        """All that it has."""
        return ROUTES if self.events is None else (*ROUTES, *EVENT_ROUTES, *ERASURE_ROUTES)

    @property
    def callers(self) -> dict[str, str]:
        """Who may ask for which users, in a function's environment."""
        if self.jwt is None or self.jwt.user_claim is None:
            return {}
        scope = {} if self.jwt.any_user_scope is None else {ANY_USER_SCOPE: self.jwt.any_user_scope}
        return {USER_CLAIM: self.jwt.user_claim} | scope

    @model_validator(mode="after")
    def _scopes(self) -> Api:
        for route in self.jwt.scopes if self.jwt is not None else ():
            if route not in (EVERY_ROUTE, *self.routes):
                absent = route in (*EVENT_ROUTES, *ERASURE_ROUTES)
                raise SettingsError(
                    f"api.jwt.scopes names {route!r}, which the API "
                    + ("has with api.events only" if absent else "doesn't have")
                    + f": expected '*' or one of {', '.join(self.routes)}"
                )
        return self

    @model_validator(mode="after")
    def _page(self) -> Api:
        page = self.page
        if page is None:
            return self
        if self.jwt is None:
            raise SettingsError(
                "api.page is set and api.jwt is not: the page's readers sign in at the issuer of the API's tokens, so "
                "set api.jwt with its issuer and audience"
            )
        if page.store_clicks and self.events is None:
            raise SettingsError(
                "api.page.store_clicks is true and api.events is not set: set api.events, which takes the clicks, or "
                "leave store_clicks out"
            )
        if page.audience is not None and page.audience not in self.jwt.audience:
            raise SettingsError(
                f"api.page.audience is {page.audience!r}, which the page's tokens are for, and api.jwt.audience takes "
                f"{', '.join(self.jwt.audience)} only: add it there"
            )
        for route in (*PAGE_ROUTES, *(EVENT_ROUTES if page.store_clicks else ())):
            wanted = self.jwt.scopes_of(route)
            if wanted and not set(wanted) & set(page.scopes):
                raise SettingsError(
                    f"the page can't ask for {route}: api.jwt.scopes wants one of {', '.join(wanted)}, and "
                    f"api.page.scopes has {', '.join(page.scopes)}; add one of the former to the latter"
                )
        return self

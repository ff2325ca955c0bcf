"""A client of the HTTP API (docs/live.md): signs requests or sends a token, returns typed lists, raises
`fmrec.errors`.

>>> client = Client("https://abc123.execute-api.eu-west-1.amazonaws.com")  # doctest: +SKIP
>>> client.recommend(["50", "181"], n=5, because=2).items[0].item_id  # doctest: +SKIP
'172'
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from fmrec import client_answers
from fmrec.client_answers import (
    AttributeValues,
    ErasureReceipt,
    Item,
    ItemList,
    ItemName,
    LikelyUser,
    Model,
    Pending,
    Reason,
    Report,
    Stored,
    known,
)
from fmrec.errors import (
    MALFORMED,
    ForbiddenError,
    InputError,
    NotFoundError,
    ServiceError,
    ThrottledError,
)

__all__ = [
    "Client",
    "Conditions",
    "ErasureReceipt",
    "Event",
    "History",
    "Interaction",
    "Item",
    "ItemList",
    "ItemName",
    "LikelyUser",
    "Model",
    "Pending",
    "Reason",
    "Report",
    "Stored",
]
SERVICE = "execute-api"


@dataclass(frozen=True)
class Interaction:
    """One item of a history, with the kind of event and the value that the data set knows, if it does."""

    item_id: str
    event: str | None = None
    value: float | None = None


@dataclass(frozen=True)
class Event:
    """One interaction that happened; with one user, an ``event_id`` counts once.

    ``at`` is in ISO 8601 with an offset, by default now; ``event`` and ``value`` are required where the data
    set has a column of them.
    """

    event_id: str
    user_id: str
    item_id: str
    at: str | None = None
    event: str | None = None
    value: float | None = None


History = Iterable[Interaction | str]
Conditions = Mapping[str, Sequence[str]]
"""By attribute of items, values."""


class Client:
    """Asks the API. Each request is one connection; safe to use from several threads.

    Parameters
    ----------
    url
        The stack's output ``ApiUrl``.
    region
        Where the API is; by default that of the session.
    session
        A botocore session, for its credentials; by default the environment's.
    token
        The token of an API with the setting ``api.jwt``, or what gives one for each request; nothing is
        signed then, and neither region nor session is needed.
    """

    def __init__(
        self,
        url: str,
        *,
        region: str | None = None,
        session: Any = None,
        timeout: float = 30,
        token: str | Callable[[], str] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(f"the API's URL is {url!r}: expected https://…, the stack's output ApiUrl")
        self._secure, self._host, self._base = parts.scheme == "https", parts.netloc, parts.path.rstrip("/")
        self._timeout, self._token = timeout, token
        if token is not None:
            return
        import botocore.session

        self._session = session or botocore.session.get_session()
        found = region or self._session.get_config_variable("region")
        if not found:
            raise InputError("the API's Region is not known: give region, or set AWS_DEFAULT_REGION")
        self._region = str(found)

    def recommendations(
        self,
        user_id: str,
        *,
        n: int = 10,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] = (),
        where: Conditions | None = None,
        where_not: Conditions | None = None,
        maximum_per: Mapping[str, int] | None = None,
        diversity: float = 0.0,
        include_seen: bool = False,
        because: int = 0,
        segment: str | None = None,
    ) -> ItemList:
        """Items for a user, known or not."""
        query = _lists(n, allow, deny, where, where_not, maximum_per) | {
            "diversity": str(diversity),
            "because": str(because),
        }
        query |= {"include_seen": "true"} if include_seen else {}
        query |= {"segment": segment} if segment else {}
        return self._list("GET", f"/users/{_part(user_id)}/recommendations", query)

    def recommend(
        self,
        history: History,
        *,
        n: int = 10,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] = (),
        where: Conditions | None = None,
        where_not: Conditions | None = None,
        maximum_per: Mapping[str, int] | None = None,
        diversity: float = 0.0,
        include_seen: bool = False,
        because: int = 0,
        segment: str | None = None,
    ) -> ItemList:
        """Items for a history that only this request knows."""
        body = {
            "history": _documents(history),
            "n": n,
            "allow": None if allow is None else list(allow),
            "deny": list(deny),
            "where": _listed(where),
            "where_not": _listed(where_not),
            "maximum_per": dict(maximum_per or {}),
            "diversity": diversity,
            "include_seen": include_seen,
            "because": because,
            "segment": segment,
        }
        return self._list("POST", "/recommendations", body=body)

    def similar(
        self,
        item_id: str,
        *,
        n: int = 10,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] = (),
        where: Conditions | None = None,
        where_not: Conditions | None = None,
        maximum_per: Mapping[str, int] | None = None,
    ) -> ItemList:
        """Items like this one; raises NotFoundError for an item that the model doesn't know."""
        return self._list(
            "GET", f"/items/{_part(item_id)}/similar", _lists(n, allow, deny, where, where_not, maximum_per)
        )

    def audience(self, item_id: str, *, n: int = 10) -> tuple[LikelyUser, ...]:
        """Trained users who are likely to want an item; NotFoundError for one that the model doesn't know."""
        found = self.ask("GET", f"/items/{_part(item_id)}/audience?{urlencode({'n': n})}")
        return tuple(known(LikelyUser, user) for user in found["users"])

    def popular(
        self,
        *,
        n: int = 10,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] = (),
        where: Conditions | None = None,
        where_not: Conditions | None = None,
        maximum_per: Mapping[str, int] | None = None,
    ) -> ItemList:
        """What most users have interacted with."""
        return self._list("GET", "/popular", _lists(n, allow, deny, where, where_not, maximum_per))

    def rank(
        self, item_ids: Sequence[str], *, user_id: str | None = None, history: History | None = None
    ) -> ItemList:
        """Order these items for a user or for a history, best first."""
        documents = None if history is None else _documents(history)
        body = {"item_ids": list(item_ids), "user_id": user_id, "history": documents}
        return self._list("POST", "/rank", body=_given(body))

    def search(self, text: str, *, n: int = 20) -> tuple[ItemName, ...]:
        """Items by words of their names, or by an id; none where the API knows no names."""
        found = self.ask("GET", f"/items?{urlencode({'search': text, 'n': n})}")
        return tuple(known(ItemName, each) for each in found["items"])

    def names(self, item_ids: Iterable[str]) -> dict[str, ItemName]:
        """Names of items, up to 1,000, by id; those without one are left out."""
        found = self.ask("POST", "/items/names", {"item_ids": list(item_ids)})
        return {each["item_id"]: known(ItemName, each) for each in found["items"]}

    def attributes(self, *, n: int = 100) -> tuple[AttributeValues, ...]:
        """What lists are filtered by, with the ``n`` most frequent values of each attribute."""
        found = self.ask("GET", f"/attributes?{urlencode({'n': n})}")
        return tuple(client_answers.attribute_values(each) for each in found["attributes"])

    def model(self) -> Model:
        """The model that serves."""
        return client_answers.model(self.ask("GET", "/model"))

    def report(self) -> Report:
        """Quality, instances and cost of its run.

        Raises
        ------
        NotFoundError
            The run has no report.
        ForbiddenError
            The token is of one user.
        """
        return client_answers.report(self.ask("GET", "/report"))

    def store(self, events: Iterable[Event]) -> Stored:
        """Store events, up to 1,000; the user's next list knows them. Storing again counts none twice."""
        documents = [_given(asdict(event)) for event in events]
        return known(Stored, self.ask("POST", "/events", {"events": documents}))

    def erase(self, user_id: str) -> ErasureReceipt:
        """Erase a user, known or not; erasing again erases what has come since."""
        found = self.ask("DELETE", f"/users/{_part(user_id)}")
        pending = tuple(known(Pending, each) for each in found["pending"])
        return ErasureReceipt(found["user_id"], found["erased_at"], found["removed"], pending)

    def _list(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None
    ) -> ItemList:
        found = self.ask(method, path + (f"?{urlencode(query)}" if query else ""), body)
        items = tuple(
            Item(
                item["item_id"],
                item["score"],
                item["rank"],
                tuple(known(Reason, reason) for reason in item.get("because") or ()),
            )
            for item in found["items"]
        )
        return ItemList(
            found["source"], items, found["model_version"], found["run"], tuple(found["ignored_items"])
        )

    def ask(self, method: str, target: str, body: Any = None) -> dict[str, Any]:
        """The answer of any route (docs/openapi.json); ``target`` is its encoded path with its query."""
        content = None if body is None else json.dumps(body)
        headers = self._headers(method, target, content)
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, timeout=self._timeout)
        try:
            connection.request(method, self._base + target, content, headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServiceError(f"the API at {self._host} can't be asked: {error}") from error
        finally:
            connection.close()
        return _checked(response.status, text)

    def _headers(self, method: str, target: str, content: str | None) -> dict[str, str]:
        headers = {"Host": self._host, "Content-Type": "application/json"}
        if self._token is not None:
            token = self._token if isinstance(self._token, str) else self._token()
            return headers | {"Authorization": f"Bearer {token}"}
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        credentials = self._session.get_credentials()
        if credentials is None:
            raise InputError("there are no AWS credentials to sign the request with: see `aws configure`")
        scheme = "https" if self._secure else "http"
        url = f"{scheme}://{self._host}{self._base}{target}"
        request = AWSRequest(method, url, data=content, headers=headers)
        SigV4Auth(credentials, SERVICE, self._region).add_auth(request)
        return dict(request.headers)


def _checked(status: int, text: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(text)
        detail = document.get("detail") or document.get("message") or ""
    except MALFORMED as error:
        raise ServiceError(f"the API answered {status} with what is not JSON: {text[:200]!r}") from error
    if status < 300:
        return document
    kinds = {401: ForbiddenError, 403: ForbiddenError, 404: NotFoundError, 429: ThrottledError}
    kind = kinds.get(status, InputError if status < 500 else ServiceError)
    raise kind(f"the API answered {status}: {detail}")


def _listed(conditions: Conditions | None) -> dict[str, list[str]]:
    return {name: list(values) for name, values in (conditions or {}).items()}


def _lists(
    n: int,
    allow: Sequence[str] | None,
    deny: Sequence[str],
    where: Conditions | None,
    where_not: Conditions | None,
    maximum_per: Mapping[str, int] | None,
) -> dict[str, str]:
    query = {"n": str(n)}
    query |= {} if allow is None else {"allow": ",".join(allow)}
    query |= {"deny": ",".join(deny)} if deny else {}
    for name, conditions in (("where", where), ("where_not", where_not)):
        pairs = [f"{key}:{value}" for key, values in (conditions or {}).items() for value in values]
        query |= {name: ",".join(pair.replace(",", "\\,") for pair in pairs)} if pairs else {}
    limits = ",".join(f"{key}:{value}" for key, value in (maximum_per or {}).items())
    return query | ({"maximum_per": limits} if limits else {})


def _documents(history: History) -> list[dict[str, Any]]:
    interactions = (Interaction(each) if isinstance(each, str) else each for each in history)
    return [_given(asdict(each)) for each in interactions]


def _given(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _part(text: str) -> str:
    return quote(text, safe="")

"""What a field's name says about its role: the words that data sets use for users, items, ratings
and times.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable


def _words(text: str) -> list[str]:
    return text.split()


ID_WORDS = frozenset(
    _words(
        "id ids code key no nr num number uid guid uuid hash sha1 mbid idx ref identifier asin isbn sku pk"
    )
)
"""Words that say "this is an id" and nothing of what."""
QUALIFIERS = frozenset(
    _words("parent raw unique new the imdb fk src dst encoded anon anonymous internal external")
)
USERS = {
    **dict.fromkeys(
        _words(
            "user users customer client visitor member reviewer subscriber shopper buyer viewer listener player person "
            "consumer patron reader household guest cust usr rater respondent uid userid username "
            "kunde kunden benutzer nutzer kaufer utilisateur usuario cliente utente"
        ),
        1.0,
    ),
    **dict.fromkeys(_words("actor account profile cookie device student patient employee u"), 0.8),
    **dict.fromkeys(_words("session sess"), 0.6),
    **dict.fromkeys(_words("invoice basket order cart transaction receipt"), 0.3),
}
ITEMS = {
    **dict.fromkeys(
        _words(
            "item items product products movie movies film book books isbn asin article track song sku stock business "
            "anime game app news content video show restaurant recipe hotel venue listing offer course joke story "
            "podcast beer goods iid mid itemid movieid productid gmap poi "
            "artikel produkt produit articulo producto pelicula prodotto articolo buch livre libro"
        ),
        1.0,
    ),
    **dict.fromkeys(
        _words("artist album page url post ad campaign place material merchandise program clip i"), 0.8
    ),
    **dict.fromkeys(_words("title description history clicks"), 0.4),
    **dict.fromkeys(_words("category brand genre"), 0.1),
}
RATINGS = {
    **dict.fromkeys(
        _words("rating ratings stars star overall grade bewertung sterne puntuacion calificacion voto"), 1.0
    ),
    **dict.fromkeys(_words("score rate like liked label preference"), 0.8),
    **dict.fromkeys(_words("click clicked bought purchased converted recommend recommended thumb"), 0.8),
}
COUNTS = {
    **dict.fromkeys(
        _words(
            "plays playcount listens quantity qty hours playtime purchases menge anzahl quantite cantidad"
        ),
        1.0,
    ),
    **dict.fromkeys(
        _words("count weight value units clicks frequency amount views watchtime duration strength"), 0.6
    ),
}
TIMES = {
    **dict.fromkeys(_words("timestamp time datetime ts at when unixtime zeit zeitpunkt"), 1.0),
    **dict.fromkeys(_words("date day dt dat created added reviewed datum fecha"), 0.9),
    **dict.fromkeys(_words("updated modified read started registered signup birth"), 0.4),
}
EVENTS = {
    **dict.fromkeys(_words("event verb action behavior behaviour interaction activity"), 1.0),
    **dict.fromkeys(_words("type kind status"), 0.4),
}
EVENT_WEIGHTS = {
    **dict.fromkeys(_words("view views pv click clicks clicked impression detail browse open show visit pageview"), 0.2),
    **dict.fromkeys(_words("watch play listen cart basket addtocart add wishlist fav favorite favourite like save bookmark follow share"), 1.0),
    **dict.fromkeys(_words("purchase purchased buy transaction order checkout pay paid sale rent download subscribe complete"), 3.0),
    **dict.fromkeys(_words("remove removed delete unlike dislike skip return refund cancel unsubscribe unfollow hide"), 0.0),
}  # fmt: skip
"""How much an event says, by the words of its name; the last list are events against an item."""
VERDICTS = {
    **dict.fromkeys(_words("true yes y t up like liked positive good"), 1.0),
    **dict.fromkeys(_words("false no n f down dislike disliked negative bad neutral"), 0.0),
}
VERDICT_NAMES = frozenset(_words("thumb thumbs vote feedback reaction sentiment verdict liked recommended"))
NOT_COUNTS = frozenset(_words("avg average mean max min std review reviews helpful votes useful unit price"))
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def words(name: str) -> list[str]:
    """Return a name's words in small letters: userId, USER_ID, User-ID and userid are user and id."""
    plain = "".join(
        letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter)
    )
    found = [word.lower() for word in _WORD.findall(plain)]
    parts: list[str] = []
    for word in found:
        stem = re.sub(r"(ids?|code|sha1?|mbid)$", "", word)
        if stem != word and (stem in USERS or stem in ITEMS):
            parts += [stem, "id"]
        else:
            parts.append(word)
    return [word for word in parts if not word.isdecimal()]


def user_score(name: str) -> float:
    """How surely a name is that of user ids, from 0 to 1."""
    return _entity_score(name, USERS)


def item_score(name: str) -> float:
    """How surely a name is that of item ids, from 0 to 1."""
    return _entity_score(name, ITEMS)


def value_score(name: str) -> tuple[float, str]:
    """How surely a name is that of ratings or counts, and which of them."""
    parts = words(name)
    if not parts or parts[-1] in ID_WORDS or set(parts) & NOT_COUNTS - {"review"}:
        return 0.0, "rating"
    rating = max((RATINGS.get(part, 0.0) for part in parts), default=0.0)
    counted = max((COUNTS.get(part, 0.0) for part in parts), default=0.0)
    if counted and rating and len(parts) > 1 and "count" in parts:
        return 0.0, "count"
    if counted > rating:
        return counted, "count"
    return (rating if parts[-1] in RATINGS or len(parts) == 1 else 0.7 * rating), "rating"


def time_score(name: str) -> float:
    """How surely a name is that of the interaction's time, from 0 to 1."""
    parts = words(name)
    # Written as one word: eventdate, starttime.
    parts += [
        end for part in parts for end in ("timestamp", "date", "time") if part.endswith(end) and part != end
    ][:1]
    scores = [TIMES[part] for part in parts if part in TIMES]
    return min(scores) if scores else 0.0


def event_score(name: str) -> float:
    """How surely a name is that of the kind of event, from 0 to 1."""
    parts = words(name)
    if not parts or parts[-1] in ID_WORDS or set(parts) & {"time", "date", "timestamp", "value"}:
        return 0.0
    return max((EVENTS.get(part, 0.0) for part in parts), default=0.0)


def verdict(texts: Iterable[str]) -> dict[str, float] | None:
    """Weigh texts that say whether a user liked an item, and nothing else: true and false, up and down."""
    found = {text: VERDICTS.get(re.sub(r"^thumbs?[ _-]?", "", text.strip().lower())) for text in texts}
    weights = {text: weight for text, weight in found.items() if weight is not None}
    return weights if len(weights) == len(found) and 1.0 in weights.values() else None


def event_weight(event: str) -> float | None:
    """Return how much an event says, by its name, or None if its words are unknown."""
    found = [EVENT_WEIGHTS[part] for part in words(event.replace("addto", "add_to")) if part in EVENT_WEIGHTS]
    if not found:
        return None
    return 0.0 if 0.0 in found else max(found)


def _entity_score(name: str, entities: dict[str, float]) -> float:
    parts = words(name.rsplit(".", 1)[-1])
    if not set(parts) - ID_WORDS:
        # Of object.sku the end says it, of user.id the beginning.
        own = max((entities.get(part, 0.0) for part in parts), default=0.0)
        parts = words(name)
        if own and "." in name:
            return 0.9 * own
    if not parts:
        return 0.0
    nouns = [part for part in parts if part not in ID_WORDS and part not in QUALIFIERS]
    if not nouns:
        # asin, isbn and sku are ids and nouns at once.
        return max((entities.get(part, 0.0) for part in parts), default=0.0)
    marked = any(part in ID_WORDS for part in parts)
    last = entities.get(nouns[-1], 0.0)
    if len(nouns) == 1:
        return last if marked or last < 1 else 0.95 * last
    if last:
        others = [entities.get(noun, 0.0) for noun in nouns[:-1]]
        return last * (0.7 if max(others) or nouns[-1] in ("session", "order", "cart") else 0.8)
    return 0.5 * entities.get(nouns[0], 0.0) if nouns[1:] in (["name"], ["title"]) else 0.0

"""The page's files and the headers that they are served with, on this machine and deployed."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

STATIC = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/explore.css": ("explore.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("explore", "asking", "elements", "filters", "home", "lists", "about", "sign_in")
    },
}
"""Path → file and type."""
CONFIG = "/config.json"
"""Where the page is at home: what differs between this machine and a deployment."""
NAMES = (CONFIG.removeprefix("/"), *(name for name, _ in STATIC.values()))
"""All files of a deployed page."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


HSTS_SECONDS = 730 * 86400


def deployed_headers(api_origin: str, token_origin: str) -> dict[str, str]:
    """What CloudFront sends with every file: the local server's headers, two more hosts to ask, and HTTPS."""
    return HEADERS | {
        "Content-Security-Policy": content_security_policy([api_origin, token_origin]),
        "Strict-Transport-Security": f"max-age={HSTS_SECONDS}; includeSubDomains",
        "X-Frame-Options": "DENY",
    }


def content_security_policy(also_asked: Iterable[str] = ()) -> str:
    """No script but the page's own files, and no request but to its own server and these origins."""
    asked = " ".join(["'self'", *also_asked])
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {asked}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def read(name: str) -> bytes:
    """A file's content."""
    return resources.files("fmrec.explore").joinpath("static", name).read_bytes()

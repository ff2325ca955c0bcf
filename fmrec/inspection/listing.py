"""Which files there are, and which of them belong together as one table."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fmrec.errors import InputError
from fmrec.storage import object_store

MOST_FILES = 20_000
DOCUMENTS = re.compile(
    r"(readme|license|licence|copying|changelog|checksum|md5|sha256|notes?)([._-].*)?$|"
    r".*\.(md|html?|pdf|docx?|py|sh|pl|ipynb|png|jpe?g|css|js|yaml|yml|md5|sha256|cfg|ini|log|vec)$",
    re.IGNORECASE,
)
"""Files that come along with data and hold none."""


@dataclass(frozen=True)
class Listing:
    """Files below ``root``, by their paths relative to it; ``root`` is what the document's paths go by."""

    root: str
    files: tuple[object_store.StoredObject, ...]
    left_out: tuple[str, ...] = ()

    def relative(self, uri: str) -> str:
        return uri.removeprefix(self.root).lstrip("/")


@dataclass(frozen=True)
class Group:
    """Files that look like parts of one table. ``path``: what finds them, and nothing else, below
    the root.
    """

    path: str
    files: tuple[object_store.StoredObject, ...]

    @property
    def size(self) -> int:
        return sum(stored.size for stored in self.files)

    @property
    def name(self) -> str:
        return self.files[0].uri.rsplit("/", 1)[-1]


def list_files(path: str) -> Listing:
    """List a file, a folder, or what a pattern with ``*`` finds.

    Raises
    ------
    InputError
        There is nothing there.
    """
    if "*" in path.rsplit("/", 1)[-1] and not object_store.exists(path):
        folder, pattern = path.rsplit("/", 1) if "/" in path else (".", path)
        found = [stored for stored in object_store.list_objects(folder) if _name(stored.uri, folder)]
        chosen = [stored for stored in found if fnmatchcase(_name(stored.uri, folder), pattern)]
        return _listing(folder, chosen, path)
    if object_store.exists(path):
        folder = path.rsplit("/", 1)[0] if "/" in path else "."
        siblings = object_store.list_objects(folder) if "://" in path else None
        size = (
            next(stored.size for stored in siblings if stored.uri == path)
            if siblings
            else object_store.local_path(path).stat().st_size
        )
        return Listing(folder, (object_store.StoredObject(path, size),))
    return _listing(path.rstrip("/") or "/", object_store.list_objects(path), path)


def group_files(listing: Listing) -> list[Group]:
    """Put files together that differ by numbers in their names only: part-00000, part-00001."""
    by_shape: dict[str, list[object_store.StoredObject]] = defaultdict(list)
    for stored in listing.files:
        by_shape[_shape(listing.relative(stored.uri))].append(stored)
    groups = []
    for shape, files in by_shape.items():
        if len(files) == 1 or shape.endswith(("#.base", "#.test")):
            groups += [Group(listing.relative(stored.uri), (stored,)) for stored in files]
            continue
        groups.append(Group(_common_path(listing, files), tuple(files)))
    return sorted(groups, key=lambda group: group.path)


def join_groups(listing: Listing, groups: Sequence[Group]) -> Group:
    """Make one group of several whose files have the same layout."""
    files = tuple(
        sorted((stored for group in groups for stored in group.files), key=lambda stored: stored.uri)
    )
    return Group(_common_path(listing, files), files)


def _listing(root: str, found: Sequence[object_store.StoredObject], path: str) -> Listing:
    root = root.removeprefix("./") or "."
    if root == ".":
        found = [object_store.StoredObject(stored.uri.removeprefix("./"), stored.size) for stored in found]
    kept, left_out = [], []
    for stored in found:
        parts = _name(stored.uri, root).split("/")
        hidden = any(part.startswith((".", "_")) for part in parts) or "__MACOSX" in parts
        if hidden or not stored.size:
            continue
        if DOCUMENTS.match(parts[-1]):
            left_out.append(stored.uri)
        else:
            kept.append(stored)
    if not kept and left_out:  # logs, if nothing else is there
        kept = [stored for stored in found if stored.uri in left_out]
        left_out = []
    if not kept:
        raise InputError(
            f"{path} holds no data files: expected a file, a folder or a pattern such as {path.rstrip('/')}/*.csv"
        )
    if len(kept) > MOST_FILES:
        kept = kept[:MOST_FILES]
    return Listing(root, tuple(kept), tuple(left_out))


def _name(uri: str, root: str) -> str:
    return uri.removeprefix(root).lstrip("/") if root != "." else uri.removeprefix("./")


def _shape(path: str) -> str:
    """Return a path with the numbers in the file's name, and ids that writers make up, replaced.

    Of folders only those of partitions count as alike: 2024/06/01, day=2024-06-01.
    """
    *folders, name = path.split("/")
    name = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "#", name)
    alike = [
        re.sub(r"\d+", "#", folder) if re.fullmatch(r"(\w+=.*|[\d_T:-]+)", folder) else folder
        for folder in folders
    ]
    return "/".join([*alike, re.sub(r"\d+", "#", name)])


def _common_path(listing: Listing, files: Sequence[object_store.StoredObject]) -> str:
    """Return what finds these files and no others: their folder, a pattern, or else the first one's path.

    Spark reads a folder's own files, not those of folders in it: names of folders are matched one by one.
    """
    paths = [listing.relative(stored.uri).split("/") for stored in files]
    every = [listing.relative(stored.uri).split("/") for stored in listing.files]
    folders = {tuple(path[:-1]) for path in paths}
    if len(folders) == 1 and (folder := "/".join(next(iter(folders)))):
        inside = [path for path in every if path[:-1] == paths[0][:-1]]
        below = [path for path in every if "/".join(path).startswith(f"{folder}/")]
        if len(inside) == len(below) == len(paths):
            return folder
    if len({len(path) for path in paths}) == 1:
        pattern = [_common_name(names) for names in zip(*paths, strict=True)]
        matched = [path for path in every if _matches(path, pattern)]
        if len(matched) == len(paths) and pattern[-1] != "*" * (len(folders) == 1):
            return "/".join(pattern)
    return "/".join(paths[0])


def _common_name(names: Sequence[str]) -> str:
    if len(set(names)) == 1:
        return names[0]
    start = posixpath.commonprefix(names)
    ends = [name[len(start) :][::-1] for name in names]
    return f"{start}*{posixpath.commonprefix(ends)[::-1]}"


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(path) == len(pattern) and all(map(fnmatchcase, path, pattern))

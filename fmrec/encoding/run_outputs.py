"""What makes an encoding a run: all parts of all its folders appear, and then the manifest, or nothing does.

S3 can't make several objects appear at once, so the manifest decides: it is written when all parts are there,
and parts are removed only when it is surely not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from fmrec.artifacts.layout import MANIFEST
from fmrec.storage import object_store
from fmrec.storage.part_files import Output, WrittenPart, open_output


class RunOutputs:
    """The folders that tasks store parts to, as a context: left without a commit, nothing of them stays.

    Parameters
    ----------
    output_uri : str
        Where the run is written to.
    suffixes : mapping
        Folder → how the names of its parts end.
    """

    def __init__(self, output_uri: str, suffixes: Mapping[str, str]) -> None:
        self._uri = output_uri
        self._suffixes = suffixes
        self._manifest_may_exist = False
        self.folders: dict[str, Output] = {}

    def __enter__(self) -> RunOutputs:
        try:
            for name, suffix in self._suffixes.items():
                folder = object_store.join(self._uri, f"{name}/")
                self.folders[name] = open_output(folder, overwrite=True, suffix=suffix)
        except BaseException:
            self._abort()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._manifest_may_exist:
            self._abort()

    def commit(self, parts: Mapping[str, list[WrittenPart]], manifest: str) -> None:
        """Make the parts appear, folder by folder, and write the manifest.

        Raises
        ------
        FmrecError
            Storage refused or failed. Either there is no manifest and, as far as storage let us remove
            them, no part; or, where nobody can say whether there is a manifest, all parts are there.
        """
        for name, folder in self.folders.items():
            folder.commit(parts[name], overwrite=True)
        self._manifest_may_exist = True
        uri = object_store.join(self._uri, MANIFEST)
        try:
            object_store.write_bytes(uri, manifest.encode("utf-8"))
        except BaseException:
            # It may have been stored without an answer. Once it is deleted, the parts may go too.
            object_store.delete(uri)
            self._manifest_may_exist = False
            raise

    def _abort(self) -> None:
        for folder in self.folders.values():
            folder.abort()

import contextlib
import hashlib
import http.client
import http.server
import io
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import numpy as np
import pytest

from fmrec.errors import InputError, ServiceError
from fmrec.storage import object_store
from fmrec.storage.multipart_upload import FIRST_PART
from fmrec.storage.object_store import StoredObject
from tests.fixtures.serving import Serving

MEBIBYTE = 1 << 20


@pytest.fixture(params=["s3", "path", "file_uri"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URI of an empty folder, on each kind of store."""
    if request.param == "s3":
        return f"s3://{request.getfixturevalue('bucket')}/some/folder"
    return str(tmp_path) if request.param == "path" else tmp_path.as_uri()


def unfinished_uploads(bucket: str) -> list[object]:
    client = boto3.client("s3")
    uploads: list[object] = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    client.close()
    return uploads


@pytest.mark.parametrize(
    "size",
    [0, 1, 3 * MEBIBYTE, FIRST_PART, FIRST_PART + 1, 2 * FIRST_PART],
)
def test_what_was_written_is_read_back(folder: str, size: int) -> None:
    data = os.urandom(size)
    uri = object_store.join(folder, "a b/ü.bin")
    object_store.write_bytes(uri, data)
    assert object_store.read_bytes(uri) == data


def test_many_small_writes_and_reads_keep_their_order(folder: str) -> None:
    uri = object_store.join(folder, "numbers")
    numbers = np.arange(4 * MEBIBYTE, dtype="<u8")
    with object_store.open_output(uri) as file:
        for part in np.array_split(numbers, 997):
            assert file.write(part.data) == part.nbytes
    with object_store.open_input(uri) as file:
        pieces = iter(lambda: file.read(999_999), b"")
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
    assert digest.digest() == hashlib.sha256(numbers.tobytes()).digest()


def test_an_object_can_be_read_from_anywhere(folder: str) -> None:
    uri = object_store.join(folder, "sought")
    data = bytes(range(256)) * 20_000
    object_store.write_bytes(uri, data)
    with object_store.open_input(uri) as file:
        assert file.seek(-10, os.SEEK_END) == len(data) - 10
        assert file.read() == data[-10:]
        assert file.read(1) == b""
        file.seek(3_000_000)
        assert file.read(5) == data[3_000_000:3_000_005]
        file.seek(100, os.SEEK_CUR)
        assert file.tell() == 3_000_105
        assert file.read(7) == data[3_000_105:3_000_112]
        file.seek(0)
        assert file.read() == data


def test_an_object_does_not_exist_before_the_block_ends(folder: str) -> None:
    uri = object_store.join(folder, "late")
    with object_store.open_output(uri) as file:
        file.write(bytes(10 * MEBIBYTE))
        assert not object_store.exists(uri)
        assert object_store.list_objects(folder) == []
    assert object_store.exists(uri)


@pytest.mark.parametrize("size", [10, 10 * MEBIBYTE])
def test_an_exception_leaves_the_old_object_and_nothing_unfinished(folder: str, size: int) -> None:
    uri = object_store.join(folder, "kept")
    object_store.write_bytes(uri, b"old")

    def fail_halfway() -> None:
        with object_store.open_output(uri) as file:
            file.write(bytes(size))
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()
    assert object_store.read_bytes(uri) == b"old"
    assert [stored.size for stored in object_store.list_objects(folder)] == [3]
    if uri.startswith("s3://"):
        assert unfinished_uploads(object_store.join(uri).split("/")[2]) == []


def test_listing_is_sorted_recursive_and_stays_in_its_folder(folder: str) -> None:
    for key in ["train/part-1", "train/part-0", "train/deep/part-2", "train-old/part-0", "test/part-0"]:
        object_store.write_bytes(object_store.join(folder, key), key.encode())
    root = str(object_store.local_path(folder)) if folder.startswith("file:") else folder
    expected = [
        StoredObject(f"{root}/train/deep/part-2", 17),
        StoredObject(f"{root}/train/part-0", 12),
        StoredObject(f"{root}/train/part-1", 12),
    ]
    assert object_store.list_objects(object_store.join(folder, "train")) == expected
    assert object_store.list_objects(object_store.join(folder, "train/")) == expected
    assert object_store.list_objects(object_store.join(folder, "nothing")) == []
    object_store.delete_folder(object_store.join(folder, "train"))
    left = [Path(stored.uri).parts[-2] for stored in object_store.list_objects(folder)]
    assert left == ["test", "train-old"]


@pytest.mark.slow
def test_listing_goes_past_one_page_and_skips_folder_markers(bucket: str) -> None:
    keys = [f"many/{number:04}" for number in range(1005)]
    # A thousand requests of boto3 take longer than all else here.
    store = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
    with contextlib.closing(http.client.HTTPConnection(store)) as connection:
        for key in ["many/", *keys]:
            connection.request("PUT", f"/{bucket}/{key}", b"" if key.endswith("/") else b"x")
            assert connection.getresponse().read() == b""
    found = object_store.list_objects(f"s3://{bucket}/many")
    assert [stored.uri for stored in found] == [f"s3://{bucket}/{key}" for key in keys]


@pytest.mark.parametrize("operation", [object_store.read_bytes, object_store.read_text])
def test_a_missing_object_is_named(folder: str, operation: Callable[[str], object]) -> None:
    uri = object_store.join(folder, "missing")
    assert not object_store.exists(uri)
    with pytest.raises(InputError, match="missing"):
        operation(uri)


def test_a_missing_bucket_is_named(bucket: str) -> None:
    with pytest.raises(InputError, match=r"s3://no-such-bucket-here/key .* its bucket doesn't exist"):
        object_store.read_bytes("s3://no-such-bucket-here/key")
    with pytest.raises(InputError, match="its bucket doesn't exist"):
        object_store.write_bytes("s3://no-such-bucket-here/key", b"x")


def test_text_that_is_not_utf8_is_refused_with_its_byte(folder: str) -> None:
    uri = object_store.join(folder, "text")
    object_store.write_bytes(uri, "größer".encode())
    assert object_store.read_text(uri) == "größer"
    object_store.write_bytes(uri, "größer".encode("latin-1"))
    with pytest.raises(InputError, match="byte 2 is 0xf6"):
        object_store.read_text(uri)


@pytest.mark.parametrize(
    ("uri", "parts", "joined"),
    [
        ("s3://b", ("k",), "s3://b/k"),
        ("s3://b/p/", ("/k/", "l"), "s3://b/p/k/l"),
        ("s3://b/p", ("k/",), "s3://b/p/k/"),
        ("folder", ("k",), "folder/k"),
        ("s3://b/p/", (), "s3://b/p/"),
    ],
)
def test_joining_leaves_single_slashes(uri: str, parts: tuple[str, ...], joined: str) -> None:
    assert object_store.join(uri, *parts) == joined


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "gs://bucket/key"])
def test_what_is_no_uri_of_ours_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="expected s3://bucket/key"):
        object_store.read_bytes(uri)


def test_writing_to_a_bucket_without_key_is_refused(aws_environment: None) -> None:
    with pytest.raises(InputError, match="names a bucket"):
        object_store.write_bytes("s3://bucket/", b"x")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="file/inside"):
        object_store.write_bytes(str(tmp_path / "file" / "inside"), b"x")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_object(bucket: str) -> None:
    uri = f"s3://{bucket}/large"
    block = bytes(MEBIBYTE)
    tracemalloc.start()
    try:
        with object_store.open_output(uri) as file:
            for _ in range(64):
                file.write(block)
        with object_store.open_input(uri) as file:
            while file.read(MEBIBYTE):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 48 * MEBIBYTE


class BreakingHandler(http.server.BaseHTTPRequestHandler):
    """Answers GetObject, but hangs up after `break_after` bytes of every answer."""

    protocol_version = "HTTP/1.1"
    data = bytes(range(256)) * 4096
    break_after = 0
    etag = '"first"'
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        start = int((self.headers.get("Range") or "bytes=0-")[6:].rstrip("-"))
        body = self.data[start:]
        if start and self.headers["If-Match"] != self.etag:
            self.send_response(412)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.etag)
        self.end_headers()
        self.wfile.write(body[: self.break_after])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def breaking_store(aws_environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[BreakingHandler]]:
    class Handler(BreakingHandler):
        pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, Serving(server):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield Handler


def test_a_broken_connection_is_continued_where_it_broke(breaking_store: type[BreakingHandler]) -> None:
    breaking_store.break_after = 300_000
    assert object_store.read_bytes("s3://bucket/key") == breaking_store.data


def test_a_connection_that_always_breaks_is_given_up_with_the_byte(
    breaking_store: type[BreakingHandler],
) -> None:
    breaking_store.break_after = 0
    with pytest.raises(ServiceError, match=r"s3://bucket/key: reading broke off at byte 0 of 1048576"):
        object_store.read_bytes("s3://bucket/key")


def test_an_object_replaced_while_reading_is_not_mixed_up(breaking_store: type[BreakingHandler]) -> None:
    breaking_store.break_after = 300_000
    with object_store.open_input("s3://bucket/key") as file:
        file.read(1000)
        breaking_store.etag = '"second"'
        with pytest.raises(ServiceError, match="s3://bucket/key"):
            file.read()


def test_a_small_object_is_sought_in_with_one_request(breaking_store: type[BreakingHandler]) -> None:
    breaking_store.break_after = len(breaking_store.data)
    with object_store.open_input("s3://bucket/key") as file:
        assert file.seek(0, os.SEEK_END) == len(breaking_store.data)
        file.seek(-8, os.SEEK_END)
        assert file.read() == breaking_store.data[-8:]
        file.seek(1000)
        assert file.read(5) == breaking_store.data[1000:1005]
    assert breaking_store.requests == 1


def test_a_connection_that_breaks_while_a_small_object_is_fetched_is_continued(
    breaking_store: type[BreakingHandler],
) -> None:
    breaking_store.break_after = 300_000
    with object_store.open_input("s3://bucket/key") as file:
        file.seek(-8, os.SEEK_END)
        assert file.read() == breaking_store.data[-8:]


def test_numpy_saves_through_an_output(folder: str) -> None:
    uri = object_store.join(folder, "array.npy")
    with object_store.open_output(uri) as file:
        np.save(file, np.arange(5.0))
    assert np.load(io.BytesIO(object_store.read_bytes(uri))).tolist() == [0, 1, 2, 3, 4]

"""The folder that one local cloud lives in: everything it keeps, and how to reach it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

ACCOUNT = "000000000000"
ACCESS_KEY = "test"
DEFAULT_REGION = "us-east-1"
HOST = "127.0.0.1"

MARK = "LOCALCLOUD_HOME"
"""Environment variable that every process of a local cloud inherits; its value is the folder."""


class LocalCloudError(Exception):
    """The local cloud can't do what was asked; the message says why and what to do."""


@dataclass(frozen=True)
class Record:
    """``localcloud.json``: where a running local cloud answers."""

    endpoint_url: str
    pid: int
    port: int
    region: str
    account: str = ACCOUNT


def write_whole(file: Path, content: bytes) -> None:
    """Write a file in one step, so that a reader never sees half of it."""
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(content)
    part.replace(file)


@dataclass(frozen=True)
class Home:
    """Paths inside the state folder."""

    root: Path

    @classmethod
    def at(cls, folder: str | Path) -> Home:
        """The home in ``folder``, which need not exist."""
        return cls(Path(folder).expanduser().resolve())

    @property
    def record_file(self) -> Path:
        return self.root / "localcloud.json"

    @property
    def log_file(self) -> Path:
        return self.root / "logs" / "server.log"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def objects(self) -> Path:
        """Where the emulator keeps S3's objects."""
        return self.root / "s3"

    @property
    def services(self) -> Path:
        """Where the emulator keeps what its services know."""
        return self.root / "services"

    @property
    def unsaved_marker(self) -> Path:
        """Holds the time when the services' state was last written; a clean stop removes it."""
        return self.services / "saved-at"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def glue(self) -> Path:
        """Working folders of Glue runs."""
        return self.root / "glue"

    def create(self) -> None:
        """Make the folders."""
        for folder in (self.root, self.logs, self.objects, self.services, self.temporary, self.glue):
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, record: Record) -> None:
        """Write ``localcloud.json``."""
        write_whole(self.record_file, f"{json.dumps(asdict(record), indent=2)}\n".encode())

    def read(self) -> Record | None:
        """What ``localcloud.json`` says, or None if there is none."""
        try:
            document = json.loads(self.record_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise LocalCloudError(
                f"{self.record_file} is not JSON ({error}); run `stop --state {self.root}`"
            ) from error
        return Record(**document)

    def forget(self) -> None:
        """Remove ``localcloud.json``."""
        self.record_file.unlink(missing_ok=True)

    def log_tail(self, lines: int = 20) -> str:
        """The end of the server's log."""
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no log was written)"
        return "\n".join(text.splitlines()[-lines:])


def client_environment(record: Record) -> dict[str, str]:
    """Environment variables that point the AWS CLI, the CDK CLI and every SDK at a local cloud."""
    return {
        "AWS_ENDPOINT_URL": record.endpoint_url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        "AWS_DEFAULT_REGION": record.region,
        "AWS_REGION": record.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        # The machine's own profiles must not leak in.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # botocore's CRC64 in pure Python writes 9 MB/s; nothing gets lost between two local processes.
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        # Without it SDKs put "sync-" before the host name of StartSyncExecution and the like.
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        # A proxy to the internet does not reach this machine's own ports.
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), f"{HOST},localhost"])),
    }

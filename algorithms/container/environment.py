"""The folder that SageMaker gives a container, ``/opt/ml``, and what its files say.

Source: Amazon SageMaker developer guide, "How Amazon SageMaker provides training information".
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from algorithms.container.failures import PlatformError
from fmrec.errors import InputError

MOUNT = "/opt/ml"
"""Where SageMaker mounts the folder; log lines name its files so, wherever it lies here."""

ARTIFACT_NAME = "model_algo-1"

SEED_VARIABLE = "FMREC_STANDIN_SEED"
"""The images have no seed hyperparameter; this environment variable sets the stand-ins' (default 0)."""


@dataclass(frozen=True)
class Channel:
    """One input channel in File or FastFile mode: a folder of files, each a part of the data."""

    name: str
    folder: Path
    content_type: str | None

    def files(self) -> list[Path]:
        """Every file under the channel's folder, whatever its name, in sorted order.

        Raises
        ------
        InputError
            The channel holds no file.
        """
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        if not found:
            raise InputError(
                f"Unable to read data channel '{self.name}'. It has no files: check that the channel's "
                "S3Uri names a prefix with at least one object"
            )
        return found

    def unreadable(self, reason: object) -> InputError:
        """The image's sentence for data that is not what the channel's content type says."""
        content_type = self.content_type or "application/x-recordio-protobuf"
        return InputError(
            f"Unable to read data channel '{self.name}'. Requested content-type is '{content_type}'. "
            f"Please verify the data matches the requested content-type. {reason}"
        )


@dataclass(frozen=True)
class Environment:
    """A training container's world."""

    root: Path
    hyperparameters: dict[str, Any]
    channels: dict[str, Channel]
    host: str

    @property
    def model_folder(self) -> Path:
        return self.root / "model"

    @property
    def seed(self) -> int:
        """What initial parameters and samples are drawn from."""
        text = os.environ.get(SEED_VARIABLE, "0")
        if not text.isdecimal():
            raise PlatformError(f"the environment variable {SEED_VARIABLE} is '{text}', not an integer")
        return int(text)

    @classmethod
    def load(cls, root: Path) -> Environment:
        """Read ``input/config``.

        Raises
        ------
        PlatformError
            A configuration file is missing or no JSON object: the platform writes them, not the user.
        InputError
            Pipe mode or several hosts, which the stand-ins don't do.
        """
        configuration = root / "input" / "config"
        resources = _read_object(configuration / "resourceconfig.json")
        hosts = resources.get("hosts", [])
        if len(hosts) > 1:
            raise InputError(
                f"resourceconfig.json names {len(hosts)} hosts, and this stand-in trains on one: set the "
                "training job's InstanceCount to 1"
            )
        channels = {}
        for name, settings in _read_object(configuration / "inputdataconfig.json").items():
            mode = settings.get("TrainingInputMode", "File")
            if mode not in ("File", "FastFile"):
                raise InputError(
                    f"channel '{name}' has TrainingInputMode {mode}, and this stand-in reads File and "
                    "FastFile: choose one of those"
                )
            channels[name] = Channel(name, root / "input" / "data" / name, settings.get("ContentType"))
        return cls(
            root=root,
            hyperparameters=_read_object(configuration / "hyperparameters.json"),
            channels=channels,
            host=str(resources.get("current_host", "algo-1")),
        )

    def channel(self, name: str) -> Channel:
        """A channel that training can't do without.

        Raises
        ------
        InputError
            The job has no such channel.
        """
        if name not in self.channels:
            raise InputError(
                f"Unable to initialize the algorithm. Failed to validate input data configuration. "
                f"(caused by ValidationError)\n\nCaused by: '{name}' is a required property: the training "
                f"job's InputDataConfig has {sorted(self.channels) or 'no channel'}"
            )
        return self.channels[name]


def _read_object(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PlatformError(f"{MOUNT}/input/config/{path.name} can't be read: {error}") from error
    if not isinstance(document, dict):
        raise PlatformError(f"{MOUNT}/input/config/{path.name} holds no JSON object")
    return document

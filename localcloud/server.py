"""The local cloud's server: the emulator, what it lacks, and one HTTP port for both."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from localcloud.home import HOST, MARK, Home, LocalCloudError, Record, client_environment
from localcloud.hooks.persistence import StateSaver, what_was_lost
from localcloud.processes import end_marked

REPOSITORY = Path(__file__).resolve().parent.parent
_GRACE_SECONDS = 0.5


@dataclass(frozen=True)
class Options:
    """How to serve."""

    home: Home
    port: int | None
    region: str
    quotas: str
    wait_scale: float
    owner: int | None
    warm_up: bool = False


def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT, then end every process that was started.

    Raises
    ------
    LocalCloudError
        The port is taken, the emulator is another one, or the quotas file can't be used.
    """
    home = options.home
    home.create()
    if (lost := what_was_lost(home.unsaved_marker)) is not None:
        print(lost, flush=True)
    listener = _listen(options.port)
    port = int(listener.getsockname()[1])
    record = Record(f"http://{HOST}:{port}", os.getpid(), port, options.region)
    _prepare_environment(home, record, options.wait_scale)
    guard = _start_guard(home, options.owner)
    try:
        asyncio.run(_serve(options, record, listener))
        home.unsaved_marker.unlink(missing_ok=True)
    finally:
        # What was started in the last moment, a Lambda worker for example, and the guard.
        end_marked(MARK, str(home.root), grace_seconds=0.2)
        guard.wait()
        shutil.rmtree(home.temporary, ignore_errors=True)
        if (home.read() or record).pid == os.getpid():
            home.forget()


async def _serve(options: Options, record: Record, listener: socket.socket) -> None:
    # The emulator reads its environment when it is imported.
    from hypercorn.asyncio import serve as serve_http
    from hypercorn.config import Config

    from localcloud import hooks
    from localcloud.cloud import Cloud
    from localcloud.hooks import stepfunctions
    from localcloud.middleware import controlled, faulty_s3, saving
    from localcloud.quotas import Quotas

    hooks.check_version()
    try:
        quotas = Quotas.from_source(options.quotas)
    except (OSError, ValueError) as error:
        raise LocalCloudError(str(error)) from error
    cloud = Cloud.build(options.home, record, quotas, options.wait_scale)
    emulator = hooks.emulator()
    hooks.install(cloud)
    saver = StateSaver(options.home, all_along=options.owner is None)
    if options.warm_up:
        cloud.glue.warm_up()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)

    async def until_stopped() -> None:
        await stopping.wait()
        stepfunctions.abort_executions()
        await asyncio.to_thread(cloud.close)
        await asyncio.to_thread(saver.close)

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = _GRACE_SECONDS
    config.shutdown_timeout = 10
    application = saving(faulty_s3(emulator, cloud.faults), saver)
    application = controlled(application, cloud.control.handle)
    serving = asyncio.create_task(serve_http(application, config, shutdown_trigger=until_stopped))  # type: ignore[arg-type] # hypercorn's ASGI types are narrower than the ones here
    await asyncio.sleep(0)
    options.home.write(record)
    await serving


def _listen(port: int | None) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port or 0))
    except OSError as error:
        raise LocalCloudError(
            f"port {port} on {HOST} can't be used ({error.strerror}); leave --port out to take a free one"
        ) from error
    listener.listen(256)
    listener.setblocking(False)
    return listener


def _prepare_environment(home: Home, record: Record, wait_scale: float) -> None:
    """Set what the emulator reads, and what the programs it starts inherit."""
    # Neither this machine's AWS configuration nor its Python path: a Lambda function finds what it
    # needs in its bundle and in the installed packages, not in a checkout.
    for name in [name for name in os.environ if name.startswith(("AWS_", "PYTHON"))]:
        del os.environ[name]
    shutil.rmtree(home.temporary, ignore_errors=True)
    home.temporary.mkdir(parents=True)
    os.environ.update(client_environment(record))
    os.environ.update(
        {
            MARK: str(home.root),
            "TMPDIR": str(home.temporary),
            "GATEWAY_PORT": str(record.port),
            "BIND_HOST": HOST,
            "MINISTACK_HOST": "localhost",
            "MINISTACK_ACCOUNT_ID": record.account,
            "MINISTACK_REGION": record.region,
            "AUTH": "true",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(home.objects),
            "PERSIST_STATE": "1",
            "STATE_DIR": str(home.services),
            "SFN_WAIT_SCALE": str(wait_scale),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "LAMBDA_EXECUTOR": "local",
            # No Docker: one that is installed must not change what runs.
            "DOCKER_HOST": "unix:///nowhere",
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "INFO"),
            "TZ": "UTC",
        }
    )


def _start_guard(home: Home, owner: int | None) -> subprocess.Popen[bytes]:
    """Start the process that cleans up should this one be killed: it sees its pipe close.

    The pipe stays open as long as this process lives; no other child inherits it.
    """
    command = [
        sys.executable,
        "-m",
        "localcloud",
        "guard",
        "--state",
        str(home.root),
        "--server",
        str(os.getpid()),
    ]
    if owner is not None:
        command += ["--owner", str(owner)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, cwd=REPOSITORY, start_new_session=True)


def guard(home: Home, server: int, owner: int | None) -> None:
    """Wait until the server ends, or stop it when its owner has; then end what it left behind."""
    import select

    from localcloud.processes import alive, signal_all, wait_for_end

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        if owner is not None and not alive(owner):
            signal_all([server], signal.SIGTERM)
            break
    wait_for_end([server], 20.0)  # a process that is killed closes its pipes before it has ended
    end_marked(MARK, str(home.root), grace_seconds=0.0)
    with contextlib.suppress(LocalCloudError):
        record = home.read()
        if record is not None and not alive(record.pid):
            home.forget()

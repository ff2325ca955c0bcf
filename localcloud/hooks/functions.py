"""Lambda: errors under their class's name, log lines from ``logging``, and answers that are JSON.

The emulator's worker is a script in a string; the passages below are changed in it. What it reports
of an exception travels through the emulator as text, marked, and is unpacked at the end.

Sources: AWS Lambda developer guide, "Lambda function errors in Python" and "Log and monitor Python
Lambda functions"; quotas: 6 MB for a synchronous answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localcloud.forks import Fork, Forks
from localcloud.hooks.binding import edit, find, replace

_MARK = "localcloud-error:"
_INIT_FAILED = "Worker init failed: "
_IMPORTED = (
    "boto3.session",
    "botocore.client",
    "botocore.httpsession",
    "numpy",
    "pydantic",
    "aws_lambda_powertools",
    "pandas",
)
"""Packages of Lambda's runtime and of the deployed layer that most functions import, and pandas, which
PyArrow imports where it is installed.
"""

# Anything that writes to file descriptor 1, also from C, must not mix with the protocol on it.
_OWN_STDOUT = (
    "    _real_stdout = sys.stdout\n    sys.stdout = sys.stderr\n",
    '    _real_stdout = os.fdopen(os.dup(1), "w", buffering=1)\n    os.dup2(2, 1)\n    sys.stdout = sys.stderr\n',
)
_PREPARE = (
    '    init = json.loads(sys.stdin.readline())\n    code_dir = init["code_dir"]\n',
    f'''    import logging

    class _RequestFormatter(logging.Formatter):
        converter = time.gmtime
        default_msec_format = "%s.%03dZ"
        request_id = ""

        def format(self, record):
            record.aws_request_id = self.request_id
            return super().format(record)

    _formatter = _RequestFormatter(
        "[%(levelname)s]\\t%(asctime)s\\t%(aws_request_id)s\\t%(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    _log_handler = logging.StreamHandler(sys.stderr)
    _log_handler.setFormatter(_formatter)
    logging.getLogger().addHandler(_log_handler)

    def _reported(error_type, message, trace):
        print("[ERROR] " + error_type + ": " + message + "\\n" + "".join(trace), file=sys.stderr)
        return "{_MARK}" + json.dumps(
            {{"errorMessage": message, "errorType": error_type, "stackTrace": trace}})

    def _trace(error):
        return traceback.format_tb(error.__traceback__)[1:]

    init = json.loads(sys.stdin.readline())
    code_dir = init["code_dir"]
''',
)
_INIT_ERROR = (
    '        _real_stdout.write(json.dumps({"status": "error", "error": str(e)}) + "\\n")\n'
    "        _real_stdout.flush()\n        return\n",
    """        if isinstance(e, ImportError):
            _kind = "Runtime.ImportModuleError"
            _text = "Unable to import module '" + module_name + "': " + str(e)
        elif isinstance(e, AttributeError) and "mod" in locals() and not hasattr(mod, handler_name):
            _kind = "Runtime.HandlerNotFound"
            _text = "Handler '" + handler_name + "' missing on module '" + module_name + "'"
        else:
            _kind, _text = type(e).__name__, str(e)
        _real_stdout.write(json.dumps({"status": "error", "error": _reported(_kind, _text, _trace(e))}) + "\\n")
        _real_stdout.flush()
        return
""",
)
_INVOKE = (
    """        try:
            result = handler_fn(event, context)
            _real_stdout.write(json.dumps({"status": "ok", "result": result}) + "\\n")
        except Exception as e:
            _real_stdout.write(json.dumps({"status": "error", "error": str(e), "trace": traceback.format_exc()}) + "\\n")
""",
    """        _formatter.request_id = context.aws_request_id
        try:
            result = handler_fn(event, context)
        except SystemExit as e:
            _answer = {"status": "error", "error": _reported(
                "Runtime.ExitError", "RequestId: " + context.aws_request_id + " Error: Runtime exited", [])}
        except BaseException as e:
            _answer = {"status": "error", "error": _reported(type(e).__name__, str(e), _trace(e))}
        else:
            _answer = {"status": "ok", "result": result}
        try:
            _line = json.dumps(_answer, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as e:
            _line = json.dumps({"status": "error", "error": _reported(
                "Runtime.MarshalError", "Unable to marshal response: " + str(e), [])})
        if len(_line) > 6 * 1024 * 1024:
            _line = json.dumps({"status": "error", "error": _reported(
                "Function.ResponseSizeTooLarge",
                "Response payload size exceeded maximum allowed payload size (6291556 bytes).", [])})
        _real_stdout.write(_line + "\\n")
""",
)


def install() -> None:
    """Change the worker script and unpack what it reports."""
    edit(
        "ministack.core.lambda_runtime",
        "_PYTHON_WORKER_SCRIPT",
        [_OWN_STDOUT, _PREPARE, _INIT_ERROR, _INVOKE],
    )
    replace(
        "ministack.services.lambda_svc", "_execute_function_warm", ("func", "event", "request_id"), _unpacking
    )
    replace("ministack.services.lambda_svc", "_resolve_layer_zip", ("attachment",), _without_layers)
    runtime = find("ministack.core", "lambda_runtime", types.ModuleType)
    find(runtime.__name__, "subprocess", types.ModuleType)
    runtime.subprocess = _Workers(Forks(_IMPORTED, services=("s3", "dynamodb", "sagemaker")))


class _Workers:
    """``subprocess`` for the emulator's pool of workers: those in Python are forks."""

    def __init__(self, forks: Forks) -> None:
        self._forks = forks

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(  # noqa: N802 - the emulator's name for it
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: str, **options: Any
    ) -> Fork | subprocess.Popen[Any]:
        """Start a worker; a fork has text pipes, which is what the emulator asks for."""
        if not self._forks.possible(command, env):
            return subprocess.Popen(command, env=env, cwd=cwd, **options)
        (its_input, to_it), (from_it, its_output), (errors, its_errors) = os.pipe(), os.pipe(), os.pipe()
        try:
            worker = self._forks.start(command, env, cwd, (its_input, its_output, its_errors))
        except BaseException:
            for descriptor in (to_it, from_it, errors):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (its_input, its_output, its_errors):
                os.close(descriptor)
        worker.stdin = os.fdopen(to_it, "w", buffering=1, encoding="utf-8")
        worker.stdout = os.fdopen(from_it, encoding="utf-8")
        worker.stderr = os.fdopen(errors, encoding="utf-8")
        return worker


def _without_layers(_original: Callable[..., bytes | None]) -> Callable[..., bytes | None]:
    # A layer holds packages compiled for the runtime that the template names. Functions run on the
    # server's interpreter here, which has the same packages compiled for itself.
    return lambda _attachment: None


def _unpacking(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def execute(func: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        result = original(func, event, request_id)
        body = result.get("body")
        if result.get("error") and isinstance(body, dict):
            text = str(body.get("errorMessage", "")).removeprefix(_INIT_FAILED)
            if text.startswith(_MARK):
                result["body"] = json.loads(text.removeprefix(_MARK)) | {"requestId": request_id}
                # The worker has printed it already, as AWS's runtime does.
                result["log"] = str(result.get("log", "")).replace(text, "").rstrip("\n")
        return result

    return execute

"""The AWS CLI for commands that come as lines of JSON: each runs in a fork of a process that has imported it.

Runs in the CLI's own environment. A command has its arguments, and files for what it prints and for its
errors; the answer to it is a line with its exit code.
"""

# mypy: disable-error-code="import-not-found"

import json
import os
import signal
import sys
from typing import Any

import awscli.botocore.docs.service  # what the first client would import
import awscli.clidriver
import awscli.handlers  # the commands' plugins


def run(command: dict[str, Any]) -> int:
    """Run one command as its program would be run; return the exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 255
    signal.alarm(60)
    try:
        for descriptor in (1, 2):
            os.dup2(
                os.open(command["files"][descriptor - 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor
            )
        sys.argv = ["aws", *command["arguments"]]
        code = awscli.clidriver.main()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


for line in sys.stdin:
    print(run(json.loads(line)), flush=True)

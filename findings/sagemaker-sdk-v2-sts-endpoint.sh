#!/usr/bin/env bash
# The SageMaker Python SDK v2 asks STS at its public address, whatever AWS_ENDPOINT_URL says.
#
# Versions: sagemaker 2.257.7, boto3 1.44.8.
# Expected: with AWS_ENDPOINT_URL (boto3's own setting for the endpoint of every service) all calls go there.
# Seen: Session().default_bucket() calls https://sts.us-east-1.amazonaws.com/, as the SDK hands boto3 an
# endpoint of its own (sts_regional_endpoint), which wins over the environment. Plain boto3 stays at the endpoint.
# Way round: Session(default_bucket="a name").
# Exits 0 if that is so, and 1 if it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet "sagemaker==2.257.7" "boto3==1.44.8"
cat > "$folder/ask.py" <<'PYTHON'
import logging, os, sys

logging.disable(logging.CRITICAL)
os.environ |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "test",
               "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
               "SAGEMAKER_SUPPRESS_V2_WARNING": "1"}
import boto3, botocore.httpsession, importlib.metadata

asked = []
def record(session, request):
    asked.append(request.url)
    raise ConnectionError("no request leaves this script")
botocore.httpsession.URLLib3Session.send = record

import sagemaker
print("sagemaker", importlib.metadata.version("sagemaker"), "boto3", boto3.__version__)
session = sagemaker.Session()
for name, call in (("boto3's own STS client", boto3.client("sts").get_caller_identity),
                   ("sagemaker.Session().default_bucket()", session.default_bucket)):
    asked.clear()
    try:
        call()
    except ConnectionError:
        pass
    print(f"{name} asks {asked[0]}")
    if name.startswith("boto3"):
        assert asked[0].startswith("http://127.0.0.1:9"), asked
sys.exit(0 if asked[0] == "https://sts.us-east-1.amazonaws.com/" else 1)
PYTHON
"$folder/venv/bin/python" "$folder/ask.py" 2>"$folder/errors" || { cat "$folder/errors"; exit 1; }

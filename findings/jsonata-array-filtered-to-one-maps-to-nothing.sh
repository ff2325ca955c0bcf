#!/usr/bin/env bash
# JSONata, the expression language of Step Functions: an array written in the expression, or a range, of which a
# predicate leaves one item, maps to nothing.
#
# Versions: jsonata 2.2.2 from npm, the reference; jsonata-python 0.7.1, which evaluates it in Python programs.
# Expected: [1..3][$ > 2].{"a": $} is {"a": 3}, as x[$ > 2].{"a": $} is for the data {"x": [1, 2, 3]}.
# Seen: the reference has no result at all and no error, jsonata-python raises TypeError. With two items left both
# give two objects, so a state's Map over a computed list works until a single item is left.
# Way round: parentheses, ([1..3][$ > 2]).{"a": $}.
# Exits 0 if that is so, and 1 if it has changed. Needs Node.js. What Step Functions itself does was not tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet "jsonata-python==0.7.1"
npm install --silent --prefix "$folder" jsonata@2.2.2 > "$folder/log" 2>&1 || { cat "$folder/log"; exit 2; }
cat > "$folder/reference.js" <<'JAVASCRIPT'
const jsonata = require("jsonata");
(async () => {
  for (const text of process.argv.slice(2)) {
    const found = await jsonata(text).evaluate({ x: [1, 2, 3] });
    console.log(found === undefined ? "nothing" : JSON.stringify(found));
  }
})();
JAVASCRIPT
cat > "$folder/compare.py" <<'PYTHON'
import importlib.metadata, json, subprocess, sys
import jsonata

EXPRESSIONS = {
    '[1..3][$ > 1].{"a": $}': ('[{"a":2},{"a":3}]', '[{"a":2},{"a":3}]'),
    '[1..3][$ > 2].{"a": $}': ("nothing", "TypeError"),
    '[1, 2, 3][$ > 2].{"a": $}': ("nothing", "TypeError"),
    '([1..3][$ > 2]).{"a": $}': ('{"a":3}', '{"a":3}'),
    'x[$ > 2].{"a": $}': ('{"a":3}', '{"a":3}'),
}

def in_python(text):
    try:
        return json.dumps(jsonata.Jsonata(text).evaluate({"x": [1, 2, 3]}), separators=(",", ":"))
    except TypeError:
        return "TypeError"

program = [sys.argv[1] + "/reference.js", *EXPRESSIONS]
reference = subprocess.run(["node", *program], capture_output=True, text=True, check=True).stdout.splitlines()
print(f"jsonata 2.2.2, jsonata-python {importlib.metadata.version('jsonata-python')}")
same = True
for (text, expected), found in zip(EXPRESSIONS.items(), reference, strict=True):
    seen = (found, in_python(text))
    print(f"{text:30} reference: {seen[0]:20} Python: {seen[1]}")
    same &= seen == expected
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/compare.py" "$folder"

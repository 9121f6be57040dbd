#!/bin/sh
# cel-expr-python: has() of a variable whose name has a dot is the variable, and not whether there is one.
#
# Expected: `has(req.tag)` is a yes or a no, by the type checker and as a result, or it is an error. The specification of CEL calls
#   has(e.f) a "boolean-valued macro", and says that it "evaluates to an error" for anything but maps and messages (cel-spec,
#   doc/langdef.md, "Field Selection"). For a field of a map it is so.
# Seen: if the environment declares the variable `req.tag`, `has(req.tag)` compiles, is of the type string, and its value is the tag.
#   Such names are what the language has for typed variables (langdef.md, "Name Resolution").
# For a registry: a condition must be of the type BOOL when it is compiled, and again when it was evaluated. A tag is text, and all texts
#   but the empty one are true for Python.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check cel-expr-python==0.1.3
"$dir/venv/bin/python" - <<'PYTHON'
import sys

from cel_expr_python import cel

kinds = cel.Type
env = cel.NewEnv(variables={"req.tag": kinds.STRING, "claims": kinds.Map(kinds.STRING, kinds.DYN)})
data = {"req.tag": "v1", "claims": {"ref": "main"}}
seen = []
for text in ("has(claims.ref)", "has(claims.environment)", "has(req.tag)"):
    rule = env.compile(text)
    result = rule.eval(data=data)
    seen.append((text, rule.return_type().name(), result.type().name(), result.value()))
print("version:  cel-expr-python 0.1.3")
print("expected: has() of anything is BOOL")
for text, compiled, evaluated, value in seen:
    print(f"seen:     {text} compiles to {compiled}, and is {evaluated} {value!r}")
as_found = [each[1:] for each in seen] == [
    ("BOOL", "BOOL", True),
    ("BOOL", "BOOL", False),
    ("STRING", "STRING", "v1"),
]
sys.exit(0 if as_found else 1)
PYTHON

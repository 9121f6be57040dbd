#!/bin/sh
# cel-expr-python: a condition that cannot be evaluated comes back as a value that Python takes for true.
#
# Expected: an expression of CEL that fails while it is evaluated, such as one that reads a key that a map does not have, raises an
#   error, or gives something that is not true. `cel-python` raises. CEL itself says that an error is neither true nor false.
# Seen: `eval` returns a value of the type ERROR, and its `.value()` is the text of the error: a string, and not an empty one.
# For a registry: a rule is granted only by a value of the type BOOL that is true, never by `if program.eval(...).value():`.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check cel-expr-python==0.1.3
"$dir/venv/bin/python" - <<'PYTHON'
import sys

from cel_expr_python import cel

CONFIGURATION = """
name: rules
variables:
- name: claims
  type_name: map
  params:
  - type_name: string
  - type_name: dyn
"""
rule = cel.NewEnv(config=cel.NewEnvConfigFromYaml(CONFIGURATION)).compile("claims.owner == 'acme'")
claims = {"acme": {"owner": "acme"}, "another": {"owner": "other"}, "none": {"name": "x"}}
answers = {owner: rule.eval(data={"claims": values}) for owner, values in claims.items()}
print("version:  cel-expr-python 0.1.3")
print("expected: a rule that reads a claim which is not there raises an error, or its result is not true")
print(f"seen:     a value of the type {answers['none'].type().name()}, which is {bool(answers['none'].value())} for Python")
for owner, answer in answers.items():
    print(f"          owner {owner}: {answer.type().name()} {answer.value()!r}, for Python {bool(answer.value())}")
kinds = [answer.type().name() for answer in answers.values()]
as_found = kinds == ["BOOL", "BOOL", "ERROR"] and [bool(answer.value()) for answer in answers.values()] == [True, False, True]
sys.exit(0 if as_found else 1)
PYTHON

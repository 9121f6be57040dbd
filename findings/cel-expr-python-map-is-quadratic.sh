#!/bin/sh
# cel-expr-python: map and filter copy what they have so far at each step, so they take time quadratic in the list.
#
# Expected: `l.map(x, 1)` takes twice as long for a list that is twice as long. The specification of CEL says of `e.map(x, t)` that its
#   "time is the sum of time of t for each element of e" (cel-spec, doc/langdef.md, "Macro Performance"). `l.all(x, true)` keeps to it.
# Seen: four times as long a list takes about sixteen times as long: tenths of a second for 4,000 items. The bound of 10,000 steps
#   that the library has does not help.
# For a registry: the groups of a token are such a list, and nothing can stop an evaluation that has begun. Its cost must be bounded
#   before, by a square of the number of items, and not by the number of steps.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check cel-expr-python==0.1.3
"$dir/venv/bin/python" - <<'PYTHON'
import sys
from time import process_time

from cel_expr_python import cel

env = cel.NewEnv(variables={"l": cel.Type.List(cel.Type.STRING)})


def took(text: str, items: int) -> float:
    rule, times = env.compile(text), []
    for _ in range(3):
        begun = process_time()
        rule.eval(data={"l": ["a"] * items}).value()
        times.append(process_time() - begun)
    return min(times)


print("version:  cel-expr-python 0.1.3")
print("expected: four times as many items take about four times as long")
growth = {}
for text in ("l.all(x, true)", "l.map(x, 1).size()", "l.filter(x, true).size()"):
    few, many = took(text, 2000), took(text, 8000)
    growth[text] = many / few
    print(f"seen:     {text}: {few * 1000:.1f} ms for 2,000 items, {many * 1000:.1f} ms for 8,000: {growth[text]:.0f} times")
linear, *others = growth.values()
sys.exit(0 if linear < 8 and all(each > 9 for each in others) else 1)
PYTHON

"""How a configuration can be wrong."""

from collections.abc import Sequence


class ConfigError(Exception):
    """The configuration cannot be used; each of `problems` names its path and what to write instead."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class NestedProblems(ValueError):
    """A setting that holds others cannot be used; each problem has the path below it, such as `[0].repositories`."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{path}: {problem}" for path, problem in problems))
        self.problems = tuple(problems)

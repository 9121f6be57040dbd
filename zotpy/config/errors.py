"""How a configuration can be wrong."""

from collections.abc import Sequence


class ConfigError(Exception):
    """The configuration cannot be used; each of `problems` names its path and what to write instead."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)

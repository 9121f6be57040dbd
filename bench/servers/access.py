"""Access control as a site would have it: a file of users, and rules by group."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt

USER, PASSWORD = "bench", "of-the-benchmark"
COST = 10
"""A check of the password takes 2 to the power of this many rounds, as in most files of users."""
OTHERS = 50
"""Repositories of other teams, each with a rule of its own."""


@dataclass(frozen=True)
class Locked:
    """Lets the clients of the benchmark in, and nobody else."""

    users: Path

    @classmethod
    def made(cls, directory: Path) -> "Locked":
        """Write the file of users."""
        users = directory / "htpasswd"
        stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode()
        users.write_text(f"{USER}:{stored}\n")
        return cls(users)

    def settings(self) -> Mapping[str, Any]:
        """Return the part of `http` in a replica's configuration."""
        everything = ["read", "create", "update", "delete"]
        theirs = {"policies": [{"groups": ["others"], "actions": everything}]}
        teams = {f"team{number}/**": theirs for number in range(OTHERS)}
        ours = {"policies": [{"groups": ["builders"], "actions": everything}], "defaultPolicy": ["read"]}
        return {
            "auth": {"htpasswd": {"path": str(self.users)}},
            "accessControl": {
                "repositories": {**teams, "**": ours},
                "metrics": {"anonymousPolicy": ["read"]},
                "groups": {"builders": {"users": [USER]}, "others": {"users": ["somebody"]}},
            },
        }

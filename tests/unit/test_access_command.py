"""`zotpy access` and `zotpy verify` about who may do what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from zotpy.cli import main

if TYPE_CHECKING:
    from pathlib import Path

CONTROL = {
    "repositories": {
        "prod/**": {
            "policies": [{"users": ["bob"], "actions": ["delete"]}, {"groups": ["ci"], "actions": ["create"]}],
            "defaultPolicy": ["read"],
            "immutableTags": ["v*"],
        },
        "open/*": {"anonymousPolicy": ["read"]},
    },
    "groups": {"ci": {"users": ["robot"]}},
    "adminPolicy": {"users": ["root"], "actions": ["update"]},
}
PATH = "http.accessControl"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a configuration with rules, with a file of users that has none."""
    return write(tmp_path, {"accessControl": CONTROL})


def write(tmp_path: Path, http: object) -> Path:
    """Write a configuration with a login."""
    users = tmp_path / "htpasswd"
    users.write_text("")
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"http": {"auth": {"htpasswd": {"path": str(users)}}, **dict(http)}}))  # type: ignore[call-overload]
    return file


@pytest.mark.parametrize(
    ("caller", "action", "repo", "code", "told"),
    [
        (
            "--user bob",
            "delete",
            "prod/app",
            0,
            f"allowed: bob: delete in prod/app: {PATH}.repositories[prod/**].policies[0]",
        ),
        (
            "--user bob --tag v1",
            "delete",
            "prod/app",
            1,
            (
                f"refused: bob: delete in prod/app: v1 is immutable by {PATH}.repositories[prod/**].immutableTags, and"
                " the adminPolicy does not grant it"
            ),
        ),
        ("--user bob --tag latest", "delete", "prod/app", 0, f"{PATH}.repositories[prod/**].policies[0]"),
        ("--user eve --tag v1", "read", "prod/app", 0, f"{PATH}.repositories[prod/**].defaultPolicy"),
        ("--user root --tag v1", "update", "prod/app", 0, f"{PATH}.adminPolicy"),
        ("--user robot", "create", "prod/app", 0, f"{PATH}.repositories[prod/**].policies[1]"),
        ("--user eve --group ci", "create", "prod/app", 0, f"{PATH}.repositories[prod/**].policies[1]"),
        ("--user eve --group x --group ci", "create", "prod", 0, f"{PATH}.repositories[prod/**].policies[1]"),
        ("--user eve", "read", "prod/app", 0, f"{PATH}.repositories[prod/**].defaultPolicy"),
        (
            "",
            "read",
            "open/app",
            0,
            f"allowed: an anonymous caller: read in open/app: {PATH}.repositories[open/*].anonymous",
        ),
        ("--user root", "update", "other", 0, f"{PATH}.adminPolicy"),
        ("--user eve", "read", "open/app", 1, f"neither {PATH}.repositories[open/*] nor the adminPolicy grants it"),
        (
            "--user eve",
            "create",
            "prod/app",
            1,
            f"refused: eve: create in prod/app: neither {PATH}.repositories[prod/**]",
        ),
        ("", "read", "prod/app", 1, f"neither {PATH}.repositories[prod/**] nor the adminPolicy grants it"),
        ("--user eve", "read", "other", 1, f"no pattern of {PATH}.repositories matches, and the adminPolicy does not"),
    ],
)
def test_the_rule_that_decides_is_named(
    file: Path, capsys: pytest.CaptureFixture[str], caller: str, action: str, repo: str, code: int, told: str
) -> None:
    """The exit code is the answer, and the line says why."""
    assert main(["access", "-c", str(file), *caller.split(), "--repo", repo, "--action", action]) == code
    said = capsys.readouterr().out
    assert told in said
    assert said.startswith("allowed: " if code == 0 else "refused: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--repo", "Prod", "--action", "read"], "--repo: 'Prod' is not a repository name"),
        (["--repo", "prod", "--action", "read", "--group", "ci"], "--group: an anonymous caller has no groups"),
        (["--repo", "prod", "--action", "pull"], "argument --action: invalid choice: 'pull'"),
        (["--action", "read"], "the following arguments are required: --repo"),
    ],
)
def test_bad_input_is_no_answer(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    """It is told apart from a refusal by the exit code."""
    try:
        code = main(["access", "-c", str(file), *arguments])
    except SystemExit as error:
        code = int(str(error.code))
    assert code == 2
    assert told in capsys.readouterr().err


def test_without_rules_a_login_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Users may then do everything, and nobody else may do anything, unless nobody can log in."""
    file = write(tmp_path, {})
    asked = ["--repo", "app", "--action", "delete"]
    assert main(["access", "-c", str(file), "--user", "eve", *asked]) == 0
    assert main(["access", "-c", str(file), *asked]) == 1
    assert main(["access", *asked]) == 0
    assert "the configuration has no http.accessControl" in capsys.readouterr().out


CONDITIONAL = {
    "repositories": {
        "prod/**": {
            "policies": [
                {
                    "users": ["ci"],
                    "actions": ["create", "detectManifestCollision"],
                    "conditions": [
                        {"expression": "req.claims.ref == 'main'", "message": "only main"},
                        {"expression": "req.tag == '' || req.tag.startsWith('v')"},
                    ],
                },
                {
                    "users": ["ci"],
                    "actions": ["create"],
                    "conditions": [{"expression": "req.client.ip == '::1'"}],
                },
            ]
        }
    },
    "adminPolicy": {"users": ["root"], "actions": ["read"], "conditions": [{"expression": "req.client.ip == '::1'"}]},
}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--user ci --action create --claim ref=main --tag v1", "allowed: ci: create in prod/app: " + PATH),
        (
            "--user ci --action create --claim ref=other",
            'policies[0] grants it, but its conditions are not fulfilled ("only main")\n',
        ),
        ("--user ci --action create --claim ref=main --tag x", "policies[0] grants it, but its conditions are not"),
        (
            "--user ci --action detectManifestCollision --claim ref=other",
            "allowed: ci: detectManifestCollision in prod",
        ),
        (
            "--user ci --action create",
            f"{PATH}.repositories[prod/**].policies[0] grants it, but its conditions are not",
        ),
        ('--user ci --action create --claim ref=["main"]', "refused: ci: create in prod/app: "),
        ('--user ci --action create --claim ref="main"', "allowed: "),
        ("--user root --action read --client ::1", f"allowed: root: read in prod/app: {PATH}.adminPolicy"),
        ("--user root --action read", f"{PATH}.adminPolicy grants it, but its conditions are not fulfilled\n"),
        ("--user eve --action create", "neither "),
    ],
)
def test_conditions_are_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, told: str) -> None:
    """The command judges them by the claims, the tag and the address in its arguments."""
    file = write(tmp_path, {"accessControl": CONDITIONAL})
    code = main(["access", "-c", str(file), "--repo", "prod/app", *arguments.split()])
    said = capsys.readouterr().out
    assert told in said
    assert code == (0 if said.startswith("allowed: ") else 1)


def test_a_claim_needs_a_name_and_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--claim` without a name or a value is refused, and ends with exit code 2."""
    file = write(tmp_path, {"accessControl": CONDITIONAL})
    for given in ("ref", "=main"):
        asked = ["--repo", "prod/app", "--action", "read", "--claim", given]
        assert main(["access", "-c", str(file), *asked]) == 2
    assert "'=main' is not a claim: write NAME=VALUE" in capsys.readouterr().err


def test_verify_tells_of_a_condition_that_keeps_blobs_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of zot's examples has it: nobody can push new content by it."""
    for text, warns in (("req.referenceType == 'digest'", 1), ("req.reference == '' || req.tag == 'a'", 0)):
        policy = {"users": ["alice"], "actions": ["create"], "conditions": [{"expression": text}]}
        rules = {"repositories": {"**": {"policies": [policy]}}}
        assert main(["verify", "-c", str(write(tmp_path, {"accessControl": rules}))]) == 0
        assert capsys.readouterr().out.count("is false for blobs") == warns


def test_verify_tells_of_claims_that_nobody_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only an issuer of tokens says claims of its callers."""
    assert main(["verify", "-c", str(write(tmp_path, {"accessControl": CONDITIONAL}))]) == 0
    assert "has conditions on req.claims, and no login brings claims" in capsys.readouterr().out
    issuer = {"issuer": "https://ci.example.com", "audiences": ["registry"]}
    auth = {"bearer": {"oidc": [issuer]}}
    assert main(["verify", "-c", str(write(tmp_path, {"auth": auth, "accessControl": CONDITIONAL}))]) == 0
    assert "req.claims" not in capsys.readouterr().out


def test_verify_tells_of_surprises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What works as written and hardly as it was meant is a warning, and the file is good."""
    rules = {"repositories": {"**": {"policies": [{"users": ["*"], "actions": ["read"]}], "anonymousPolicy": ["read"]}}}
    assert main(["verify", "-c", str(write(tmp_path, {"accessControl": rules}))]) == 0
    said = capsys.readouterr().out
    assert 'policies: users: ["*"] is one user whose name is *' in said
    assert "callers that have not logged in may read, and users that no policy names may not" in said
    twins: dict[str, object] = {"repositories": {"a/*": {}, "*/b": {}}}
    assert main(["verify", "-c", str(write(tmp_path, {"accessControl": twins}))]) == 2
    assert "http.accessControl.repositories[a/*]: is as long as */b" in capsys.readouterr().err

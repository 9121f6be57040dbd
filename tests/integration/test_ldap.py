"""Logins by a directory: a real slapd, and scripted servers that are down, slow or silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from tests.processes import free_port
from tests.slapd import BASE, DEVELOPERS, PASSWORD, PEOPLE, Directory, certify, directory
from tests.unit.auth.hashed import BCRYPT
from tests.unit.auth.hashed import PASSWORD as HASHED
from tests.unit.web.serving import UPLOADS, codes_of, serving
from zotpy.auth.account import AccountFiles
from zotpy.auth.basic import Credentials
from zotpy.auth.grants import Grants
from zotpy.auth.hashes import PasswordHash
from zotpy.auth.ldap import Ldap
from zotpy.auth.permission import Identity
from zotpy.bell import Bell
from zotpy.config import load_settings
from zotpy.core.errors import TooManyRequests, Unavailable
from zotpy.logins import make_door
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from trio.testing import MockClock

ALICE = Credentials("alice", PASSWORD.encode())
WRONG = Credentials("alice", b"wrong")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """Run one directory for all tests of this module."""
    with directory(tmp_path_factory.mktemp("slapd")) as started:
        yield started


class Ask(Protocol):
    """Makes what asks a directory. Its connections are closed at the end of the test."""

    def __call__(self, settings: dict[str, Any], waiting: int = 8) -> Ldap:
        """Make it by these settings of `http.auth.ldap`."""
        ...


@pytest.fixture
async def ldap() -> AsyncIterator[Ask]:
    """Return what makes them."""
    made: list[Ldap] = []

    def make(settings: dict[str, Any], waiting: int = 8) -> Ldap:
        files = account_files(settings)
        made.append(Ldap(files.settings, lambda: files.account, waiting))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


def account_files(settings: dict[str, Any]) -> AccountFiles:
    """Read the files that settings name."""
    overrides = {f"http.auth.ldap.{name}": value for name, value in settings.items()}
    read = load_settings(None, {}, overrides).auth.ldap
    assert read is not None
    return AccountFiles(read)


@pytest.mark.parametrize("tls", ["start", "always", "never"])
async def test_a_user_is_known_with_their_groups(ldap: Ask, running: Directory, tls: str) -> None:
    """A search finds the user by StartTLS, by TLS from the first byte, and in the clear.

    It looks at one level, so carol is not found.
    """
    kinds: dict[str, dict[str, Any]] = {
        "start": {},
        "always": {"port": running.tls_port, "insecure": False, "startTLS": False},
        "never": {"startTLS": False},
    }
    asked = ldap(running.settings(**kinds[tls]))
    identity = await asked.identify(ALICE)
    assert identity is not None
    assert (identity.name, identity.kind) == ("alice", "ldap")
    assert identity.groups == {DEVELOPERS, "readers"}
    assert await asked.identify(WRONG) is None
    assert await asked.identify(Credentials("carol", PASSWORD.encode())) is None


async def test_all_below_is_searched_if_asked_for(ldap: Ask, running: Directory) -> None:
    """The user carol is one level further down. twin exists twice, so nobody is twin."""
    asked = ldap(running.settings(subtreeSearch=True))
    carol = await asked.identify(Credentials("carol", PASSWORD.encode()))
    assert carol is not None
    with capture_logs() as logs:
        assert await asked.identify(Credentials("twin", PASSWORD.encode())) is None
    (line,) = [log for log in logs if log["event"] == "ldap_user_is_not_unique"]
    assert len(line["entries"]) == 2


async def test_a_filter_keeps_users_out(ldap: Ask, running: Directory) -> None:
    """Only engineers: bob is a guest. It may be written without the outer parentheses."""
    for written in ("(title=engineer)", "title=engineer"):
        asked = ldap(running.settings(userFilter=written))
        assert await asked.identify(ALICE) is not None
        assert await asked.identify(Credentials("bob", PASSWORD.encode())) is None


@pytest.mark.parametrize(
    "name",
    [
        "*",
        "a*",
        "alice)(uid=*",
        "*)(|(uid=*",
        "alice)(&",
        "\\2a",
        "alice\\",
        "alice\0",
        "alice,ou=People",
        "(uid=alice)",
    ],
)
async def test_a_name_is_never_a_part_of_the_filter(ldap: Ask, running: Directory, name: str) -> None:
    """Whatever it has, it is compared as it stands. The directory is asked, and knows nobody of that name."""
    searched = running.count("SRCH base=")
    asked = ldap(running.settings(subtreeSearch=True))
    assert await asked.identify(Credentials(name, PASSWORD.encode())) is None
    assert running.count("SRCH base=") == searched + 1


@pytest.mark.parametrize("password", [b"", b"\xff", b"x" * 1025])
async def test_some_passwords_are_refused_without_asking(ldap: Ask, running: Directory, password: bytes) -> None:
    """A bind with a name and without a password succeeds as nobody, and proves nothing (RFC 4513, section 5.1.2)."""
    accepted = running.count("ACCEPT from")
    assert await ldap(running.settings()).identify(Credentials("alice", password)) is None
    assert running.count("ACCEPT from") == accepted


async def test_the_directory_says_what_a_user_is_called(ldap: Ask, running: Directory) -> None:
    """It ignores case, and rules for users do not."""
    identity = await ldap(running.settings()).identify(Credentials("ALICE", PASSWORD.encode()))
    assert identity is not None
    assert identity.name == "alice"


async def test_a_good_password_is_remembered_and_a_wrong_one_is_not(
    ldap: Ask, running: Directory, mock_clock: MockClock
) -> None:
    """A replica remembers a good password for a minute by default."""
    asked = ldap(running.settings(remember="1m"))
    before = running.count("SRCH base=")
    assert await asked.identify(ALICE) == await asked.identify(ALICE)
    assert running.count("SRCH base=") == before + 1
    assert await asked.identify(WRONG) is None
    assert await asked.identify(WRONG) is None
    assert running.count("SRCH base=") == before + 3
    mock_clock.jump(61)
    assert await asked.identify(ALICE) is not None
    assert running.count("SRCH base=") == before + 4


async def test_connections_are_used_again_and_bounded(ldap: Ask, running: Directory) -> None:
    """Twenty logins at once take two connections, and later ones take no more."""
    asked = ldap(running.settings(connections=2, remember=0), waiting=20)
    accepted = running.count("ACCEPT from")
    known = []

    async def log_in() -> None:
        known.append(await asked.identify(ALICE))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(log_in)
    assert len(known) == 20
    assert None not in known
    assert running.count("ACCEPT from") == accepted + 2


async def test_a_server_that_starts_again_is_asked_again(ldap: Ask, tmp_path: Path) -> None:
    """While it is down logins fail as a matter of the server. Old connections are given up without anybody's notice."""
    with directory(tmp_path / "other") as other:
        asked = ldap(other.settings(remember=0))
        assert await asked.identify(ALICE) is not None
        other.stop()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await asked.identify(ALICE)
        other.start()
        assert await asked.identify(ALICE) is not None
        other.stop()
        other.start()
        assert await asked.identify(ALICE) is not None


@pytest.mark.parametrize("case", ["another CA", "another name", "the system's CAs"])
async def test_a_server_without_a_good_certificate_gets_no_password(
    ldap: Ask, running: Directory, tmp_path: Path, case: str
) -> None:
    """Neither by StartTLS nor by TLS from the first byte does it see a bind. `skipVerify` accepts it."""
    certify(tmp_path, "another")
    changed: dict[str, Any] = {
        "another CA": {"caCert": str(tmp_path / "ca.crt")},
        "another name": {"address": "localhost"},
        "the system's CAs": {"caCert": ""},
    }[case]
    told = "is for other names" if case == "another name" else "name its authority in http.auth.ldap.caCert"
    bound = running.count("BIND dn=")
    for kind in ({}, {"port": running.tls_port, "insecure": False, "startTLS": False}):
        settings = running.settings(**changed, **kind)
        with capture_logs() as logs, pytest.raises(Unavailable):
            await ldap(settings).identify(ALICE)
        assert any(told in str(log.get("reason")) for log in logs)
        assert running.count("BIND dn=") == bound
        assert await ldap({**settings, "skipVerify": True}).identify(ALICE) is not None
        bound = running.count("BIND dn=")


async def test_a_wrong_service_account_is_a_matter_of_the_server(ldap: Ask, running: Directory, tmp_path: Path) -> None:
    """Users are not told that their password is wrong. The log names the account, never its password."""
    credentials = tmp_path / "credentials.json"
    credentials.write_text(f'{{"bindDN": "cn=searcher,{BASE}", "bindPassword": "hush"}}')
    with capture_logs() as logs, pytest.raises(Unavailable) as raised:
        await ldap(running.settings(credentialsFile=str(credentials))).identify(ALICE)
    assert "searcher" in str(logs)
    assert "hush" not in str(logs)
    assert BASE not in raised.value.message


async def test_new_credentials_are_used(running: Directory, tmp_path: Path) -> None:
    """The file is read again when it changes; one that cannot be used changes nothing."""
    credentials = tmp_path / "credentials.json"
    credentials.write_text(f'{{"bindDN": "cn=searcher,{BASE}", "bindPassword": "old"}}')
    files = account_files(running.settings(credentialsFile=str(credentials), remember=0))
    asked = Ldap(files.settings, lambda: files.account, 8)
    with pytest.raises(Unavailable):
        await asked.identify(ALICE)
    for written, is_used in (("{}", False), (f'{{"bindDN": "cn=searcher,{BASE}", "bindPassword": "searching"}}', True)):
        credentials.write_text(written)
        await files.look()
        assert (files.account.password == "searching") is is_used
    assert await asked.identify(ALICE) is not None
    await asked.aclose()


async def test_a_missing_base_is_a_matter_of_the_server(ldap: Ask, running: Directory) -> None:
    """It is no wrong password."""
    with pytest.raises(Unavailable):
        await ldap(running.settings(baseDN=f"ou=Nobody,{BASE}")).identify(ALICE)


class Silent:
    """A server that takes connections and requests, and answers nothing but these bytes."""

    def __init__(self, answer: bytes = b"") -> None:
        """Answer each connection with this."""
        self.answer = answer
        self.connections = 0
        self.most_open = 0
        self.open = 0
        self.port = 0

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Listen until cancelled."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._take, [listener])

    async def _take(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await stream.receive_some()
            await stream.send_all(self.answer)
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:  # the client wants no more
            pass
        finally:
            self.open -= 1

    async def all_closed(self) -> None:
        """Wait until no connection is open."""
        while self.open:
            await trio.lowlevel.checkpoint()

    def settings(self, **others: Any) -> dict[str, Any]:
        """Return `http.auth.ldap` for it."""
        return {
            "address": "127.0.0.1",
            "port": self.port,
            "insecure": True,
            "baseDN": PEOPLE,
            "userAttribute": "uid",
            **others,
        }


async def test_a_silent_server_holds_a_few_logins_for_a_few_seconds(
    ldap: Ask, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    """Two wait for answers, six for a connection, and a ninth is refused at once. All others end at the same time."""
    silent = Silent()
    await nursery.start(silent.run)
    asked = ldap(silent.settings(connections=2, timeout="5s"))
    refused: list[type[Exception]] = []
    waits: list[int] = []

    async def log_in() -> None:
        try:
            await asked.identify(ALICE)
        except (TooManyRequests, Unavailable) as error:
            refused.append(type(error))
            waits.append(error.retry_after_s)

    async with trio.open_nursery() as group:
        for _ in range(9):
            group.start_soon(log_in)
        while silent.open < 2 or not refused:
            await trio.lowlevel.checkpoint()
        mock_clock.jump(5.0)
    assert refused == [TooManyRequests, *[Unavailable] * 8]
    assert silent.most_open == 2
    assert min(waits) > 0


async def test_a_client_that_leaves_frees_its_place(ldap: Ask, nursery: trio.Nursery) -> None:
    """Its connection is closed, as an answer to it may still come."""
    silent = Silent()
    await nursery.start(silent.run)
    asked = ldap(silent.settings(connections=1, timeout="1h"), waiting=1)
    async with trio.open_nursery() as group:
        group.start_soon(asked.identify, ALICE)
        while not silent.open:
            await wait_all_tasks_blocked()
        with pytest.raises(TooManyRequests):
            await asked.identify(ALICE)
        group.cancel_scope.cancel()
    await silent.all_closed()
    assert asked._places.taken == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "invalid data"),
        (b"\x30\x84\x7f\xff\xff\xff" + b"x" * (2 << 20), "longer than 1024 KiB"),
    ],
)
async def test_an_answer_that_is_none_is_a_matter_of_the_server(
    ldap: Ask, nursery: trio.Nursery, answer: bytes, reason: str
) -> None:
    """Another protocol, or an endless message, of which no more than 1 MiB is read."""
    silent = Silent(answer)
    await nursery.start(silent.run)
    with capture_logs() as logs, pytest.raises(Unavailable):
        await ldap(silent.settings(timeout="60s")).identify(ALICE)
    assert reason in logs[0]["reason"]


async def test_what_comes_before_tls_is_dropped(ldap: Ask, nursery: trio.Nursery) -> None:
    """Somebody between us may put answers behind the one to StartTLS. They are no answers to what goes through TLS."""
    started = bytes.fromhex("300c02010178070a010004000400")
    bound = bytes.fromhex("300c02010261070a010004000400")
    silent = Silent(started + bound)
    await nursery.start(silent.run)
    with capture_logs() as logs, pytest.raises(Unavailable):
        await ldap(silent.settings(startTLS=True, skipVerify=True, timeout="60s")).identify(ALICE)
    assert "unexpected message id" in logs[0]["reason"]


async def test_other_logins_work_while_the_directory_is_down(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A user of the file logs in. Any other may be one of the directory, so the answer is 503, and not 401."""
    users = tmp_path / "htpasswd"
    users.write_text(f"alice:{BCRYPT}\n")
    overrides = {
        "http.auth.htpasswd.path": str(users),
        "http.auth.ldap.address": "127.0.0.1",
        "http.auth.ldap.port": free_port(),
        "http.auth.ldap.insecure": True,
        "http.auth.ldap.baseDN": PEOPLE,
        "http.auth.ldap.userAttribute": "uid",
    }
    door = await make_door(load_settings(None, {}, overrides), Bell(), Grants(None), MemoryStore())
    async with serving(nursery, admit=door.admit, challenge=door.challenge) as replica:
        assert (await replica.client.get("/v2/", auth=("alice", HASHED))).status_code == 200
        assert (await replica.client.get("/v2/")).status_code == 401
        assert (await replica.client.get("/v2/", auth=("bob", ""))).status_code == 401
        for name in ("bob", "alice"):
            answer = await replica.client.get("/v2/", auth=(name, PASSWORD))
            assert (answer.status_code, codes_of(answer)) == (503, ["UNAVAILABLE"])
            assert int(answer.headers["Retry-After"]) > 0


async def test_a_user_of_the_directory_pushes(running: Directory, nursery: trio.Nursery) -> None:
    """The request is known as theirs, and by which kind of login."""
    settings = load_settings(None, {}, {f"http.auth.ldap.{name}": value for name, value in running.settings().items()})
    door = await make_door(settings, Bell(), Grants(None), MemoryStore())
    async with serving(nursery, admit=door.admit, challenge=door.challenge) as replica:
        for service in door.services:
            nursery.start_soon(service.run)
        answer = await replica.client.post(UPLOADS, auth=("Alice", PASSWORD))
        assert answer.status_code == 202
        answered = await replica.ended.receive()
        assert (answered.user, answered.login) == ("alice", "ldap")


async def test_a_session_goes_on_while_the_directory_has_the_user(ldap: Ask, running: Directory) -> None:
    """Without a password: the service account looks, and groups are those of today. Who is filtered out is gone."""
    asked = ldap(running.settings(userFilter="(title=engineer)"))
    before = Identity("alice", frozenset({"of yesterday"}), "ldap")
    renewed = await asked.renew(before, asked.note(before))
    assert renewed == Identity("alice", frozenset({DEVELOPERS, "readers"}), "ldap")
    for name in ("bob", "nobody", "*"):
        assert await asked.renew(Identity(name, kind="ldap"), {}) is None
    down = ldap(running.settings(port=free_port()))
    with pytest.raises(Unavailable):
        await down.renew(before, {})


async def test_a_user_of_the_directory_gets_tokens(running: Directory, nursery: trio.Nursery) -> None:
    """One for requests, and one to refresh it, with which nobody asks for a password again."""
    settings = load_settings(None, {}, {f"http.auth.ldap.{name}": value for name, value in running.settings().items()})
    door = await make_door(settings, Bell(), Grants(None), MemoryStore())
    async with serving(nursery, admit=door.admit, challenge=door.challenge, more_routes=door.routes) as replica:
        for service in door.services:
            nursery.start_soon(service.run)
        form = {"service": "zotpy", "client_id": "a", "scope": "repository:a/b:pull,push"}
        password = {"grant_type": "password", "username": "alice", "password": PASSWORD, "access_type": "offline"}
        granted = (await replica.client.post("/zot/auth/token", data={**form, **password})).json()
        searched, bound = running.count("SRCH base="), running.count("BIND dn=.uid=alice")
        refresh = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
        renewed = (await replica.client.post("/zot/auth/token", data={**form, **refresh})).json()
        assert (running.count("SRCH base="), running.count("BIND dn=.uid=alice")) == (searched + 1, bound)
        bearer = {"Authorization": f"Bearer {renewed['access_token']}"}
        assert (await replica.client.post(UPLOADS, headers=bearer)).status_code == 401  # another repository
        assert (await replica.client.post("/v2/a/b/blobs/uploads/", headers=bearer)).status_code == 202


async def test_a_remembered_user_costs_no_check_of_the_file(
    running: Directory, nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is asked first, as the directory may be down, and spends time on each name that it does not know."""
    checks: list[bytes] = []

    def refuse(_: PasswordHash, password: bytes) -> bool:
        checks.append(password)
        return False

    monkeypatch.setattr(PasswordHash, "fits", refuse)
    (tmp_path / "htpasswd").write_text(f"bob:{BCRYPT}\n")
    overrides = {f"http.auth.ldap.{name}": value for name, value in running.settings().items()}
    overrides["http.auth.htpasswd.path"] = str(tmp_path / "htpasswd")
    door = await make_door(load_settings(None, {}, overrides), Bell(), Grants(None), MemoryStore())
    async with serving(nursery, admit=door.admit, challenge=door.challenge) as replica:
        for service in door.services:
            nursery.start_soon(service.run)
        for _ in range(3):
            assert (await replica.client.get("/v2/", auth=("alice", PASSWORD))).status_code == 200
        assert checks == [PASSWORD.encode()]
        assert (await replica.client.get("/v2/", auth=("alice", "wrong"))).status_code == 401
        assert checks == [PASSWORD.encode(), b"wrong"]

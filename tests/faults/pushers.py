"""Ten clients that push, each told to push one image, artifact or chart to a repository of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tests.blackbox.clients import INSTALL, isolated_environment
from tests.blackbox.images import Layout, small_layer
from tests.processes import find_program, missing

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIENTS = ("crane", "oras", "regctl", "skopeo", "podman", "containerd", "helm", "cosign", "jib", "oras-py", "dxf")
CLIENT_DEADLINE_S = 180.0
CHART = "apiVersion: v2\nname: chart\nversion: 0.1.0\ndescription: a chart of the tests\n"
CHART_FILE = "chart-0.1.0.tgz"
BLOB_BYTES = 300_000


@dataclass(frozen=True)
class Failed:
    """A push that did not succeed."""

    words: str
    printed: str


class Pushers:
    """What there is to push, and how each client pushes it; all of it in one directory."""

    def __init__(self, directory: Path, host: str) -> None:
        """Make an image of one small layer, and a file; clients see no configuration of this machine."""
        self.host = host
        self.directory = directory
        self.layout = Layout(directory / "layout")
        self.layout.tag(self.layout.add_image([small_layer("sniffio")]), "image")
        (directory / "blob.bin").write_bytes(os.urandom(BLOB_BYTES))
        self.env = isolated_environment(directory / "home")

    def _program(self, name: str) -> str:
        return str(find_program(name, INSTALL.get(name, "sh tests/run builds it")))

    def _library(self, name: str) -> Path:
        """Return one of those that `tests/pushers/build` makes."""
        kept = os.environ.get("ZOTPY_TEST_PUSHERS")
        if not kept or not (path := Path(kept) / name).exists():
            missing(f"{name} is needed: sh tests/pushers/build, and name what it prints in ZOTPY_TEST_PUSHERS")
        return path

    async def prepare(self, client: str) -> None:
        """Do what a client needs before its first push."""
        if client == "regctl":
            await self._run(self._program("regctl"), "registry", "set", self.host, "--tls", "disabled")
        elif client == "podman":
            # It takes the path for the image's name, and refuses a directory above that ends with an underscore.
            await self._run(*self._podman(), "pull", f"oci:{self.layout.path.relative_to(self.directory)}:image")
        elif client == "helm":
            (self.directory / "chart").mkdir()
            (self.directory / "chart" / "Chart.yaml").write_text(CHART)
            await self._run(self._program("helm"), "package", "chart")

    async def push(self, client: str, repo: str) -> Failed | None:
        """Push once; `None` if it succeeded."""
        return await self._tried(self._words(client, repo))

    async def pull(self, client: str, repo: str) -> Failed | None:
        """Pull what a client has pushed: podman, containerd, helm, cosign or jib. `None` if it succeeded."""
        target = f"{self.host}/{repo}:v1"
        to = self.directory / "pulled" / client
        to.mkdir(parents=True)
        if client == "podman":
            words = [*self._podman(), "pull", "--tls-verify=false", target]
        elif client == "containerd":
            words = [str(self._library("containerd-push")), "pull", str(to), target]
        elif client == "helm":
            words = [self._program("helm"), "pull", f"oci://{self.host}/{repo}/chart", "--plain-http", "-d", str(to)]
        elif client == "cosign":
            words = [self._program("cosign"), "save", "--allow-http-registry", "--dir", str(to), target]
        else:
            words = [*self._jib(), "pull", target, str(to)]
        return await self._tried(words)

    async def _tried(self, words: Sequence[str]) -> Failed | None:
        try:
            await self._run(*words)
        except ClientFailed as error:
            return Failed(" ".join(words), str(error))
        return None

    def _jib(self) -> list[str]:
        java = ["java", "-XX:TieredStopAtLevel=1", "-DsendCredentialsOverHttp=true"]
        return [*java, "-cp", f"{self._library('jib')}/*", "JibPush"]

    def _podman(self) -> list[str]:
        root = self.directory / "podman"
        return [self._program("podman"), "--root", str(root), "--runroot", f"{root}.run", "--storage-driver", "vfs"]

    def _words(self, client: str, repo: str) -> Sequence[str]:  # noqa: PLR0911 - one for each client
        target, layout = f"{self.host}/{repo}:v1", self.layout.path
        if client == "crane":
            return [self._program("crane"), "push", "--insecure", str(layout), target]
        if client == "oras":
            return [self._program("oras"), "push", "--plain-http", target, "blob.bin:application/octet-stream"]
        if client == "regctl":
            return [self._program("regctl"), "image", "copy", f"ocidir://{layout}:image", target]
        if client == "skopeo":
            to = f"docker://{target}"
            return [self._program("skopeo"), "copy", "--dest-tls-verify=false", f"oci:{layout}:image", to]
        if client == "podman":
            return [*self._podman(), "push", "--tls-verify=false", self._image_id(), target]
        if client == "containerd":
            return [str(self._library("containerd-push")), str(layout), target]
        if client == "helm":
            return [self._program("helm"), "push", CHART_FILE, f"oci://{self.host}/{repo}", "--plain-http"]
        if client == "cosign":
            return [self._program("cosign"), "upload", "blob", "--allow-http-registry", "-f", "blob.bin", target]
        if client == "jib":
            cache = str(self.directory / "jib" / repo.replace("/", "-"))
            return [*self._jib(), "blob.bin", target, cache]
        python = str(self._library("python") / "bin" / "python")
        script = str(Path(__file__).parents[1] / "pushers" / "python.py")
        return [python, script, client.removesuffix("-py"), "blob.bin", self.host, repo]

    def _image_id(self) -> str:
        """Return the id of the image, by which podman knows it: the digest of its configuration."""
        digest = str(self.layout.tagged[0]["digest"]).removeprefix("sha256:")
        manifest = (self.layout.path / "blobs" / "sha256" / digest).read_text()
        return manifest.partition('"config"')[2].partition("sha256:")[2][:64]

    async def _run(self, *words: str) -> None:
        """Run a program to its end. Raises `ClientFailed` with what it printed."""
        with trio.fail_after(CLIENT_DEADLINE_S):
            done = await trio.run_process(
                words, check=False, capture_stdout=True, capture_stderr=True, env=self.env, cwd=self.directory
            )
        if done.returncode:
            raise ClientFailed((done.stdout + done.stderr).decode(errors="replace"))


class ClientFailed(Exception):
    """A client ended with another status than 0."""

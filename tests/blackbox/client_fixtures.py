"""The clients that tests of several folders run, and an image that they push, as fixtures.

`tests/conftest.py` makes them known to all tests.
"""

from __future__ import annotations

import pytest

from tests.blackbox.clients import Client, isolated_environment
from tests.blackbox.images import SMALL_PACKAGES, Layer, Layout, large_layer, small_layer


@pytest.fixture(scope="session")
def client_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment in which clients see no configuration of this machine."""
    return isolated_environment(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def crane(client_environment: dict[str, str]) -> Client:
    """Return crane."""
    return Client("crane", client_environment)


@pytest.fixture(scope="session")
def oras(client_environment: dict[str, str]) -> Client:
    """Return oras."""
    return Client("oras", client_environment)


@pytest.fixture(scope="session")
def skopeo(client_environment: dict[str, str]) -> Client:
    """Return skopeo."""
    return Client("skopeo", client_environment)


@pytest.fixture(scope="session")
def layers() -> list[Layer]:
    """Return one large layer and some small ones."""
    return [large_layer(), *map(small_layer, SMALL_PACKAGES)]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory, layers: list[Layer]) -> Layout:
    """Return a layout of one image, tagged `image`."""
    layout = Layout(tmp_path_factory.mktemp("image") / "layout")
    layout.tag(layout.add_image(layers), "image")
    return layout

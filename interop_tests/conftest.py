"""Fixtures of the tests against foreign programs."""

import os
from collections.abc import Callable, Generator
from pathlib import Path

import provision
import pytest
from foreign_certificates import Foreign
from leftovers import nothing_left as nothing_left
from leftovers import sockets as sockets
from leftovers import warm_grpc as warm_grpc


@pytest.fixture(scope="session")
def program() -> Callable[[str], Path]:
    """`program(name)` is the executable of that name; see provision.NAMES."""
    return provision.program


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with TLS of one's own. Those of host and plugin have one authority; the others' names say what is wrong.

    Each holds ca.pem, whom its owner trusts, and certificate.pem with key.pem, which the owner presents.
    """
    ours, another = (Foreign.make("P-256", name=name) for name in ("ours", "another"))
    folders: dict[str, Path] = {}
    for name, signer, trusted in (
        ("host", ours, ours),
        ("plugin", ours, ours),
        ("signed by another", another, ours),
        ("trusts another", ours, another),
    ):
        owner = Foreign.make("P-256", issuer=signer, authority=False)
        folders[name] = folder = tmp_path_factory.mktemp("tls")
        (folder / "ca.pem").write_text(trusted.pem)
        (folder / "certificate.pem").write_text(owner.pem)
        (folder / "key.pem").write_text(owner.key_pem)
    return folders


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    yield from _skipping_what_is_missing()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    yield from _skipping_what_is_missing()


def _skipping_what_is_missing() -> Generator[None, None, None]:
    """A program that this machine cannot have skips its tests by name; in CI it fails them."""
    try:
        yield
    except provision.Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))

"""The desk, laid once per process of pytest and handed out as copies; the exchange runs beside it."""

import pytest

from polyscale.features.catalogue import CATALOGUE
from tests.docs import desk
from tests.replay.running import running


@pytest.fixture(scope="session")
def exchange_url():
    with running(desk.exchange()) as server:
        yield server.url


@pytest.fixture(scope="session")
def laid(tmp_path_factory, exchange_url):
    folder = tmp_path_factory.mktemp("desk")
    desk.lay(folder)
    with pytest.MonkeyPatch.context() as patch:
        desk.sit(patch, folder, exchange_url)
        desk.train()
    return folder


@pytest.fixture
def at_desk(laid, exchange_url, tmp_path, monkeypatch):
    """The working directory is a folder of one's own, Bybit is at hand, and what is dear is made small."""
    desk.sit(monkeypatch, desk.copy(laid, tmp_path), exchange_url)
    known = dict(CATALOGUE)
    yield tmp_path
    CATALOGUE.clear()
    CATALOGUE.update(known)

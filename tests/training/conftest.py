import pytest

from tests.training.small import prepare


@pytest.fixture(scope="module")
def prepared(bars):
    return prepare(bars)

import pytest

from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.store.layout import bars_partition
from tests.store.series import BTC, M5


def test_partition_reads_as_people_write_it():
    partition = bars_partition(BTC, M5)
    assert str(partition) == "bybit/linear/BTCUSDT 5m"
    assert partition.where("t").endswith("t.symbol = 'BTCUSDT' AND t.timeframe = '5m'")


def test_refused_name_comes_with_one_that_would_do():
    with pytest.raises(ConfigError, match=r"symbol must match .* got 'btc/usdt'.* such as 'BTC-USDT'"):
        bars_partition(Market("bybit", "linear", "btc/usdt"), M5)
    with pytest.raises(ConfigError, match=r"venue must match .* got 'ByBit'.* such as 'bybit'"):
        bars_partition(Market("ByBit", "linear", "BTCUSDT"), M5)

import pytest

from polyscale.exchange.ccxt_markets import (
    main_markets,
    market_of_stored,
    market_of_word,
    markets_of,
    volume_unit,
)
from polyscale.exchange.errors import BadRequestError
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.market.order_rules import OrderRules

SPOT = {"id": "BTCUSDT", "spot": True, "base": "BTC", "quote": "USDT", "contractSize": None}
LINEAR = {
    "id": "BTCUSDT",
    "swap": True,
    "linear": True,
    "base": "BTC",
    "quote": "USDT",
    "contractSize": 0.001,
}
INVERSE = {**LINEAR, "id": "BTCUSD", "quote": "USD", "linear": False, "inverse": True, "contractSize": 100}
LISTED = {
    "BTC/USDT": SPOT,
    "BTC/USDT:USDT": LINEAR,
    "BTC/USD:BTC": INVERSE,
    "ETH/USDT": {**SPOT, "id": "t@eth:usdt", "base": "ETH"},
    "BTC/USDT:USDT-260626": {**LINEAR, "id": "btc-26jun26", "swap": False, "future": True},
    "BTC/USD:BTC-260626-1-C": {**INVERSE, "id": "BTC-C", "swap": False, "option": True},
    "BTC/USD:ETH": {**INVERSE, "id": "QUANTO", "inverse": False},
}
MARKETS = markets_of(LISTED)


def found(word):
    market = market_of_word(MARKETS, word, "x")
    return market.symbol, market.category, market.stored


def test_options_and_contracts_paid_in_a_third_coin_are_no_markets():
    assert {market.symbol for market in MARKETS} == set(list(LISTED)[:5])


@pytest.mark.parametrize(
    ("word", "symbol", "category", "stored"),
    [
        ("BTC/USDT", "BTC/USDT", "spot", "BTCUSDT"),
        ("btc/usdt:usdt", "BTC/USDT:USDT", "linear", "BTCUSDT"),
        ("BTCUSD", "BTC/USD:BTC", "inverse", "BTCUSD"),
        ("BTC-26JUN26", "BTC/USDT:USDT-260626", "linear", "BTC-26JUN26"),
        ("T@ETH:USDT", "ETH/USDT", "spot", "T-ETH-USDT"),
        ("T-ETH-USDT", "ETH/USDT", "spot", "T-ETH-USDT"),
    ],
)
def test_word_means_a_unified_symbol_first_and_else_an_id(word, symbol, category, stored):
    assert found(word) == (symbol, category, stored)


def test_id_that_two_markets_share_is_never_guessed():
    told = r"for BTC/USDT \(spot, BTCUSDT\), BTC/USDT:USDT \(linear, BTCUSDT\); write the one"
    with pytest.raises(BadRequestError, match=told):
        found("BTCUSDT")


@pytest.mark.parametrize(
    ("word", "told"),
    [("BTC-USD", r"did you mean BTC/USD:BTC \(inverse"), ("BTC/USD", "did you mean"), ("X", "look it up")],
)
def test_unknown_word_is_told_what_is_near(word, told):
    with pytest.raises(BadRequestError, match=told):
        found(word)


@pytest.mark.parametrize("symbol", list(LISTED)[:5])
def test_stored_name_leads_back_to_its_market(symbol):
    market = market_of_word(MARKETS, symbol, "x")
    assert market_of_stored(MARKETS, Market("x", market.category, market.stored), "x") == market


def test_two_ids_with_one_stored_name_are_refused():
    twins = markets_of({"A/B": {**SPOT, "id": "kPEPE"}, "C/D": {**SPOT, "id": "KPEPE"}})
    with pytest.raises(BadRequestError, match="must name one market"):
        market_of_stored(twins, Market("x", "spot", "KPEPE"), "x")


def test_main_markets_are_of_bitcoin_and_active():
    closed = markets_of({**LISTED, "BTC/USDT": {**SPOT, "active": False}})
    assert [market.symbol for market in main_markets(MARKETS)][:2] == ["BTC/USDT", "BTC/USDT:USDT"]
    assert "BTC/USDT" not in [market.symbol for market in main_markets(closed)]


@pytest.mark.parametrize(
    ("exchange", "symbol", "unit"),
    [
        ("kraken", "BTC/USDT", 1.0),
        ("okx", "BTC/USDT:USDT", 1.0),
        ("okx", "BTC/USD:BTC", 1.0),
        ("gate", "BTC/USDT:USDT", 0.001),
    ],
)
def test_volume_is_counted_in_base_coin(exchange, symbol, unit):
    assert volume_unit(exchange, market_of_word(MARKETS, symbol, "x")) == unit


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [
        ("gate", "BTC/USD:BTC"),
        ("phemex", "BTC/USDT:USDT"),
        ("deribit", "BTC/USD:BTC"),
        ("btse", "BTC/USDT"),
    ],
)
def test_volume_in_a_unit_that_is_not_known_is_refused(exchange, symbol):
    with pytest.raises(ConfigError, match=f"the volume of {exchange} must be known in base coin"):
        volume_unit(exchange, market_of_word(MARKETS, symbol, "x"))


SIZED = {
    "precision": {"amount": 0.01, "price": 0.5},
    "limits": {"amount": {"min": 0.1, "max": 9.0}, "cost": {"min": 5}},
}


@pytest.mark.parametrize(
    ("market", "rules"),
    [
        ({**SPOT, **SIZED}, OrderRules(0.01, 0.1, 5.0)),
        ({**LINEAR, "contractSize": 1, **SIZED}, OrderRules(0.01, 0.1, 5.0)),
        ({**SPOT, **SIZED, "limits": {"amount": {"min": None}, "cost": None}}, OrderRules(0.01)),
        ({**SPOT, **SIZED, "limits": {"amount": {"min": -1.0}}}, OrderRules(0.01)),
        ({**LINEAR, **SIZED}, None),  # in contracts of a thousandth
        ({**INVERSE, **SIZED}, None),
        ({**SPOT, "precision": {"amount": None}}, None),
        (SPOT, None),
    ],
    ids=str,
)
def test_order_rules_are_those_whose_sizes_are_coins(market, rules):
    [found] = markets_of({"BTC/USDT": market}, sizes_in_steps=True)
    assert found.rules == rules
    [found] = markets_of({"BTC/USDT": market})  # digits are no steps
    assert found.rules is None


def test_linear_contracts_of_one_coin_are_base_coin_wherever_they_trade():
    [market] = markets_of({"BTC/USDT:USDT": {**LINEAR, "contractSize": 1}})
    assert volume_unit("phemex", market) == 1.0

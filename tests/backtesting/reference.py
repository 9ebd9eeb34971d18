"""A backtest that is slow and plain: the rules of the account, written down once more, in dicts and loops.

In: bars, positions, funding and order rules by symbol, as plain numbers; settings. Out: fills, payments and
equity at every close. It knows nothing of the compiled engine that is tested against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from polyscale.backtesting.settings import BacktestSettings
from polyscale.market.order_rules import NO_RULES, OrderRules

HOUR_MS = 3_600_000
ROUNDING = 1e-9  # lots: 2.9999999999 of them are 3


class Bar(NamedTuple):
    """One closed bar."""

    open: float
    high: float
    low: float
    close: float
    volume: float


class Decision(NamedTuple):
    """What was decided at a close; NaN is no level."""

    target: float
    limit: float = math.nan
    stop: float = math.nan
    take_profit: float = math.nan


@dataclass
class Listing:
    """One symbol: its bars and decisions by close, its funding by stamp, in ms."""

    bars: dict[int, Bar]
    decisions: dict[int, Decision]
    funding: dict[int, float] | None = None  # none: the settings' assumed rate, against either side
    rules: OrderRules = NO_RULES


class Fill(NamedTuple):
    """One change of a position."""

    close_ms: int
    symbol: str
    kind: str
    at_open: bool
    units: float
    price: float
    fee: float
    slippage: float


@dataclass
class Outcome:
    """What the account went through."""

    fills: list[Fill] = field(default_factory=list)
    payments: list[tuple[int, str, float]] = field(default_factory=list)
    equity: dict[int, float] = field(default_factory=dict)
    liquidated: bool = False
    bankrupt: bool = False


@dataclass
class Holding:
    """One symbol of the account."""

    units: float = 0.0
    wanted: float = 0.0
    pending: bool = False
    closing: bool = False  # the pending order closes at any price: what a level or a refusal left
    rests: bool = False  # waits since an open before this one
    limit: float = math.nan
    stop: float = math.nan
    take_profit: float = math.nan
    target: float = 0.0  # decided last, as decided
    mark: float = math.nan  # the price it is valued at now
    start: float = math.nan  # the price from which this bar goes on
    bar: Bar | None = None  # none where the symbol has no bar now
    volume_left: float = 0.0
    entered_inside: bool = False
    decided: bool = False  # at this open

    @property
    def side(self) -> int:
        """Side of the position that levels protect; none if it is on its way to the other side."""
        return sign(self.units) if self.wanted * self.units >= 0 else 0

    @property
    def order_side(self) -> int:
        """1 if the pending order buys, -1 if it sells."""
        return 1 if self.wanted > self.units else -1

    @property
    def exits(self) -> bool:
        """Whether the pending order makes the position smaller and does not turn it."""
        return self.wanted * self.units >= 0 and abs(self.wanted) < abs(self.units)

    def close_at_any_price(self) -> None:
        """Whatever was pending, nothing is wanted now."""
        self.wanted, self.pending, self.closing, self.limit = 0.0, True, True, math.nan

    def is_passed(self, price: float) -> bool:
        """Whether what is wanted has its stop or take-profit on the wrong side of a price."""
        side = sign(self.wanted)
        return side != 0 and (side * (price - self.stop) <= 0 or side * (price - self.take_profit) >= 0)


class How(NamedTuple):
    """How an order is filled."""

    kind: str
    at_open: bool
    price: float
    slip: float  # quote coin per coin
    rate: float  # fee


def sign(x: float) -> int:
    """-1, 0 or 1."""
    return (x > 0) - (x < 0)


class NaiveAccount:
    """One account over all listings."""

    def __init__(self, listings: dict[str, Listing], settings: BacktestSettings, bar_ms: int) -> None:
        self.listings = listings
        self.settings = settings
        self.bar_ms = bar_ms
        self.cash = settings.initial_capital
        self.held = {symbol: Holding() for symbol in listings}
        self.outcome = Outcome()
        self.now = 0

    def run(self) -> Outcome:
        """Every close at which any symbol has a bar, in time."""
        closes = sorted({t for listing in self.listings.values() for t in listing.bars})
        before = None
        for t in closes:
            self.now = t
            if not self.outcome.liquidated:
                self._see(t)
                self._one_bar(before)
                for holding in self.held.values():
                    holding.mark = holding.bar.close if holding.bar else holding.mark
            self.outcome.equity[t] = self._equity()
            before = t
        return self.outcome

    # --- the account

    def _equity(self) -> float:
        return self.cash + math.fsum(h.units * h.mark for h in self.held.values() if h.units)

    def _gross(self, without: str = "") -> float:
        return math.fsum(abs(h.units) * h.mark for s, h in self.held.items() if h.units and s != without)

    def _taker(self, kind: str, h: Holding, price: float, *, at_open: bool) -> How:
        return How(kind, at_open, price, self._slip(h, price), self.settings.fee)

    def _maker(self, kind: str, price: float, *, at_open: bool) -> How:
        return How(kind, at_open, price, 0.0, self.settings.maker_fee)

    def _slip(self, h: Holding, price: float) -> float:
        spread = h.bar.high - h.bar.low if h.bar else 0.0
        return min(price * self.settings.slippage + spread * self.settings.slippage_of_range, price)

    def _fill(self, symbol: str, after: float, how: How) -> None:
        h = self.held[symbol]
        coins = after - h.units
        equity = self._equity()
        if h.units:
            if after == 0.0 and equity >= 0 > equity + h.units * (how.price - h.mark):
                how = how._replace(price=h.mark - equity / h.units)  # no more is lost than there is
            equity += h.units * (how.price - h.mark)
        rest = min(after * (h.mark - how.price), 0.0)  # what is kept, at its worst
        there_is = max(equity + rest, 0.0)
        fee = min(abs(coins) * (how.price + sign(coins) * how.slip) * how.rate, there_is)
        slippage = min(abs(coins) * how.slip, there_is - fee)
        self.cash -= coins * how.price + fee + slippage
        h.units = after
        h.volume_left -= abs(coins)
        self.outcome.fills.append(
            Fill(self.now, symbol, how.kind, how.at_open, after, how.price, fee, slippage)
        )

    # --- one bar

    def _see(self, t: int) -> None:
        for symbol, h in self.held.items():
            h.bar = self.listings[symbol].bars.get(t)
            h.entered_inside = h.decided = False
            if h.bar is not None:
                h.mark = h.bar.open
                share = self.settings.volume_share
                h.volume_left = math.inf if share is None else share * h.bar.volume
            h.start = h.mark

    def _one_bar(self, before: int | None) -> None:
        if before is not None:
            self._pay_funding(before)
        if self._is_due():
            self._liquidate(at_open=True)
            return
        self._levels_at_open()
        self._take_decisions()
        self._orders_at_open()
        self._inside()

    def _pay_funding(self, before: int) -> None:
        this_open, last_open = self.now - self.bar_ms, before - self.bar_ms
        for symbol, h in self.held.items():
            listing = self.listings[symbol]
            stamps = listing.funding
            if stamps is None:
                rate = self.settings.assumed_funding_8h or 0.0
                stamps = {at: rate for at in range(0, this_open + 1, 8 * HOUR_MS) if at > last_open}
            rates = [rate for at, rate in stamps.items() if last_open < at <= this_open]
            value = h.units * h.mark if h.units else 0.0
            due = (abs(value) if listing.funding is None else value) * math.fsum(rates)
            paid = min(due, max(self._equity(), 0.0))
            if paid != 0.0:
                self.cash -= paid
                self.outcome.payments.append((self.now, symbol, paid))

    # --- liquidation

    def _is_due(self) -> bool:
        gross = self._gross()
        return gross > 0 and self._equity() <= self.settings.maintenance * gross

    def _liquidate(self, *, at_open: bool) -> None:
        """Close all at the marks; where that would leave less than nothing, the venue takes the account."""
        self.outcome.liquidated = True
        left = self.cash
        for h in self.held.values():
            if h.units:
                got = h.mark - sign(h.units) * self._slip(h, h.mark)
                left += h.units * got - abs(h.units) * got * self.settings.fee
        if left < -1e-12 * self._gross():  # by more than rounding
            self.outcome.bankrupt = True
            self.cash = 0.0
            for h in self.held.values():
                h.units = 0.0
            return
        for symbol, h in self.held.items():
            if h.units:
                self._fill(symbol, 0.0, self._taker("liquidation", h, h.mark, at_open=at_open))

    # --- the open

    def _levels_at_open(self) -> None:
        for symbol, h in self.held.items():
            if h.bar is None or h.side == 0:
                continue
            if h.side * (h.bar.open - h.stop) <= 0:
                self._close(symbol, self._taker("stop", h, h.bar.open, at_open=True))
            elif h.side * (h.bar.open - h.take_profit) > 0:
                self._close(symbol, self._maker("take_profit", h.take_profit, at_open=True))

    def _close(self, symbol: str, how: How) -> None:
        """Close at a level: what was pending is off; what the volume leaves is a market order to nothing."""
        h = self.held[symbol]
        h.close_at_any_price()
        after = self._available(symbol, 0.0)
        if after != h.units:
            self._fill(symbol, after, how)
        h.pending = h.units != 0

    def _take_decisions(self) -> None:
        """Levels and wanted coins of what was decided at each symbol's bar before this one."""
        targets = {}
        for symbol, h in self.held.items():
            listing = self.listings[symbol]
            earlier = [t for t in listing.bars if t < self.now]
            decision = listing.decisions.get(max(earlier)) if h.bar and earlier else None
            if decision is None:
                continue
            is_order = decision.target != h.target
            if is_order or not (h.pending and h.closing):
                h.rests = h.rests and h.limit == decision.limit
                h.limit = decision.limit
            h.decided = True
            h.stop, h.take_profit = decision.stop, decision.take_profit
            if is_order:
                most = self.settings.max_leverage
                targets[symbol] = max(-most, min(most, decision.target))
                h.target, h.pending, h.closing, h.rests = decision.target, True, False, False
        equity = max(self._equity(), 0.0)
        others = math.fsum(
            abs(h.units) * h.mark for s, h in self.held.items() if h.units and s not in targets
        )
        asked = math.fsum(abs(target) for target in targets.values()) * equity
        room = max(self.settings.max_leverage * equity - others, 0.0)
        share = room / asked if asked > room else 1.0
        for symbol, target in targets.items():
            self.held[symbol].wanted = share * target * equity / self.held[symbol].mark

    def _orders_at_open(self) -> None:
        for h in self.held.values():
            waits_in_the_market = h.rests and not math.isnan(h.limit)
            concerns = (h.pending and not waits_in_the_market) or (h.decided and h.units != 0)
            if h.bar is not None and concerns and h.is_passed(h.start):
                h.close_at_any_price()
        ready = {s: h for s, h in self.held.items() if h.bar is not None and h.pending}
        smaller = [s for s, h in ready.items() if h.exits]
        for symbol in [*smaller, *(s for s in ready if s not in smaller)]:
            self._order_at_open(symbol)

    def _order_at_open(self, symbol: str) -> None:
        h = self.held[symbol]
        beyond = h.order_side * (h.limit - h.start)  # > 0: the open is better than the limit
        if math.isnan(h.limit):
            self._execute(symbol, self._taker("order", h, h.start, at_open=True))
        elif h.rests and beyond > 0:
            self._execute(symbol, self._maker("limit", h.limit, at_open=True))
        elif not h.rests and beyond >= 0:
            how = self._taker("limit", h, h.start, at_open=True)
            self._execute(symbol, how._replace(slip=min(how.slip, beyond)))
        h.rests = True

    # --- inside the bar

    def _inside(self) -> None:
        if self._liquidated_inside():
            return
        for h in self.held.values():
            h.mark = h.start
        for symbol, h in self.held.items():
            if not h.exits and self._is_traded_through(h):
                self._limit_inside(symbol)
        if self._liquidated_inside():
            return
        for symbol in self.held:
            self._levels_inside(symbol)

    @staticmethod
    def _is_traded_through(h: Holding) -> bool:
        if h.bar is None or not h.pending or math.isnan(h.limit):
            return False
        extreme = h.bar.low if h.order_side > 0 else h.bar.high
        return h.order_side * (h.limit - extreme) > 0 and h.order_side * (h.start - h.limit) >= 0

    def _limit_inside(self, symbol: str) -> None:
        h = self.held[symbol]
        if h.is_passed(h.limit):
            h.pending = False
            return
        units = h.units
        self._execute(symbol, self._maker("limit", h.limit, at_open=False))
        if h.units != units:
            h.entered_inside = True
            h.mark = h.start = h.limit

    def _liquidated_inside(self) -> bool:
        for h in self.held.values():
            h.mark = self._worst(h)
        if not self._is_due():
            return False
        worst = {s: h.mark for s, h in self.held.items()}

        def is_due_at(share: float) -> bool:
            for s, h in self.held.items():
                h.mark = h.start + share * (worst[s] - h.start)
            return self._is_due()

        low, high = 0.0, 1.0
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (low, middle) if is_due_at(middle) else (middle, high)
        is_due_at(high)
        self._liquidate(at_open=False)
        return True

    def _worst(self, h: Holding) -> float:
        """Worst price of the bar, or the stop where that comes first and the volume can fill it."""
        if h.bar is None or h.units == 0:
            return h.start
        worst = h.bar.low if h.units > 0 else h.bar.high
        if self._is_stopped(h) and abs(h.units) <= h.volume_left:
            return self._stop_price(h)
        return worst

    @staticmethod
    def _is_stopped(h: Holding) -> bool:
        if h.bar is None or h.side == 0:
            return False
        return h.side * ((h.bar.low if h.side > 0 else h.bar.high) - h.stop) <= 0

    @staticmethod
    def _stop_price(h: Holding) -> float:
        """The stop, or where this bar started if that is beyond it."""
        return h.stop if h.side * (h.start - h.stop) > 0 else h.start

    def _levels_inside(self, symbol: str) -> None:
        h = self.held[symbol]
        if h.bar is None or h.units == 0:
            return
        if self._is_stopped(h):
            price = self._stop_price(h)
            self._close(symbol, self._taker("stop", h, price, at_open=h.side * (h.start - h.stop) <= 0))
            return
        best = h.bar.high if h.side > 0 else h.bar.low
        takes = h.side * (best - h.take_profit) > 0 and not h.entered_inside
        leaves = h.exits and self._is_traded_through(h)
        if leaves and not (takes and h.side * (h.take_profit - h.limit) <= 0):
            self._execute(symbol, self._maker("limit", h.limit, at_open=False))
        elif takes:
            self._close(symbol, self._maker("take_profit", h.take_profit, at_open=False))

    # --- how much of an order is filled

    def _execute(self, symbol: str, how: How) -> None:
        h = self.held[symbol]
        allowed = self._allowed(symbol, how)
        after = self._available(symbol, allowed)
        h.pending = after != allowed
        if after != h.units:
            self._fill(symbol, after, how)

    def _allowed(self, symbol: str, how: How) -> float:
        """Coins to hold: within the leverage after costs, in whole lots, not too small an order."""
        h, rules = self.held[symbol], self.listings[symbol].rules
        if h.wanted == 0.0:
            return 0.0
        size = self._lots(min(abs(h.wanted), self._cap(symbol, how)), rules.lot_step)
        after = sign(h.wanted) * size
        if h.order_side * (after - h.units) <= 0:
            return h.units  # an order to buy does not sell
        change = abs(after - h.units)
        too_small = change < rules.min_quantity or change * how.price < rules.min_notional
        return h.units if too_small and after != 0.0 else after

    def _cap(self, symbol: str, how: How) -> float:
        """The largest |u| at which u's value and the others' are within the leverage, costs paid."""
        h, leverage = self.held[symbol], self.settings.max_leverage
        s, d = h.order_side, sign(h.wanted)
        cost = how.slip + how.rate * (how.price + s * how.slip)
        equity = self._equity() + (h.units * (how.price - h.mark) if h.units else 0.0)
        room = leverage * (equity + s * h.units * cost) - self._gross(without=symbol)
        return max(room / (how.price + leverage * s * d * cost), 0.0)

    def _available(self, symbol: str, after: float) -> float:
        h, rules = self.held[symbol], self.listings[symbol].rules
        size = abs(after - h.units)
        if size <= h.volume_left:
            return after
        return h.units + sign(after - h.units) * self._lots(max(h.volume_left, 0.0), rules.lot_step)

    @staticmethod
    def _lots(size: float, step: float) -> float:
        return math.floor(size / step + ROUNDING) * step if step > 0 else size

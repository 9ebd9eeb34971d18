"""Features of the catalogue by their definitions, one row at a time: slow and obvious."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

DAY_MS = 86_400_000
EIGHT_HOURS_MS = DAY_MS // 3


def log_volatility(squares):
    return 0.5 * np.log(np.mean(squares) + 1e-10)


@dataclass
class Market:
    """Arrays of bars, the others' mean log return, and funding."""

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    time_ms: np.ndarray
    market: np.ndarray  # log return of the others
    funding_ms: np.ndarray
    funding: np.ndarray
    per_day: int

    def __post_init__(self):
        self.log_close = np.log(self.close)
        self.r = np.diff(self.log_close, prepend=np.nan)
        self.range = np.log(self.high / self.low)
        self.parkinson = self.range**2 / (4 * np.log(2))
        self.garman = 0.5 * self.range**2 - (2 * np.log(2) - 1) * np.log(self.close / self.open) ** 2
        up, down, end = (np.log(x / self.open) for x in (self.high, self.low, self.close))
        self.rogers = up * (up - end) + down * (down - end)
        self.bipower = np.pi / 2 * np.abs(self.r) * np.abs(np.concatenate([[np.nan], self.r[:-1]]))
        self.typical = (self.high + self.low + self.close) / 3


def value(m: Market, name: str, t: int):
    """A feature at row t, None where there is no definition here."""

    def last(values, bars):
        return values[t - bars + 1 : t + 1]

    tail = name.rsplit("_", maxsplit=1)[-1]
    k = int(tail) if tail.isdigit() else 0
    usual = np.exp(log_volatility(last(m.r, 50) ** 2))
    moved = m.log_close[t] - m.log_close[t - k]
    beta = np.sum(last(m.r, 200) * last(m.market, 200)) / (np.sum(last(m.market, 200) ** 2) + 200e-10)
    settled = m.funding[: np.searchsorted(m.funding_ms, m.time_ms[t], side="right")]
    x = last(m.r, max(k, 1))
    plain = {
        "log_return": lambda: m.r[t],
        "volume_ratio": lambda: m.volume[t] / last(m.volume, 20).mean(),
        "volume_change": lambda: (m.volume[t] - m.volume[t - 1]) / (m.volume[t] + m.volume[t - 1]),
        "high_low_ratio": lambda: (m.high[t] - m.low[t]) / m.close[t],
        "close_position": lambda: (m.close[t] - m.low[t]) / (m.high[t] - m.low[t]),
        "rsi_simple": lambda: np.diff(m.close)[t - 14 : t].sum() / np.abs(np.diff(m.close)[t - 14 : t]).sum(),
        "relative_move": lambda: 0.5 * np.log(m.r[t] ** 2 + 1e-10) - np.log(usual),
        "relative_range": lambda: log_volatility(last(m.parkinson, 1)) - np.log(usual),
        "tails_50": lambda: np.sqrt((x**4).mean()) / (x**2).mean(),
        "autocorrelation_50": lambda: (
            sum(m.r[s] * m.r[s - 1] for s in range(t - 49, t + 1)) / ((x**2).sum() + 50e-10)
        ),
        "log_volume_ratio": lambda: np.log(m.volume[t] / last(m.volume, 20).mean() + 0.01),
        "volume_volatility_20": lambda: last(m.volume, 20).std(ddof=1) / last(m.volume, 20).mean(),
        "volume_and_moves_50": lambda: np.corrcoef(last(m.volume, 50), np.abs(x))[0, 1],
        "volatility_of_volatility_50": lambda: np.std(
            [log_volatility(m.r[s - 4 : s + 1] ** 2) for s in range(t - 49, t + 1)], ddof=1
        ),
        "funding_rate": lambda: settled[-1] * 1e4,
        "funding_surprise": lambda: (settled[-1] - settled[-21:].mean()) * 1e4,
        "funding_age": lambda: m.time_ms[t] % EIGHT_HOURS_MS / EIGHT_HOURS_MS,
        "market_relative_volatility": lambda: (
            log_volatility(last(m.market, 5) ** 2) - log_volatility(last(m.market, 50) ** 2)
        ),
        "beta": lambda: beta,
        "weekend": lambda: float(_opened(m, t).weekday() >= 5),
    }
    if name in plain:
        return plain[name]()
    spanned = {
        "return_": lambda: moved,
        "volatility_": lambda: np.std(x, ddof=1),
        "realised_": lambda: log_volatility(x**2),
        "parkinson_": lambda: log_volatility(last(m.parkinson, k)),
        "garman_klass_": lambda: log_volatility(last(m.garman, k)),
        "rogers_satchell_": lambda: log_volatility(last(m.rogers, k)),
        "bipower_": lambda: log_volatility(last(m.bipower, k)),
        "semivolatility_up_": lambda: log_volatility(np.where(x > 0, x, 0) ** 2),
        "semivolatility_down_": lambda: log_volatility(np.where(x < 0, x, 0) ** 2),
        "jump_share_": lambda: max(0.0, 1 - last(m.bipower, k).sum() / (x**2).sum()),
        "signed_jump_": lambda: ((x[x > 0] ** 2).sum() - (x[x < 0] ** 2).sum()) / (x**2).sum(),
        "relative_volatility_": lambda: log_volatility(x**2) - np.log(usual),
        "relative_range_": lambda: log_volatility(last(m.parkinson, k)) - np.log(usual),
        "scaled_return_": lambda: moved / (usual * np.sqrt(k)),
        "efficiency_": lambda: moved / np.abs(x).sum(),
        "range_position_": lambda: (
            (m.close[t] - last(m.low, k).min()) / (last(m.high, k).max() - last(m.low, k).min())
        ),
        "drawdown_": lambda: np.log(m.close[t] / last(m.high, k).max()) / (usual * np.sqrt(k)),
        "volume_time_of_day_": lambda: _against_time_of_day(m.volume, t, k, m.per_day),
        "range_time_of_day_": lambda: _against_time_of_day(m.range, t, k, m.per_day),
        "signed_volume_": lambda: (np.sign(x) * last(m.volume, k)).sum() / last(m.volume, k).sum(),
        "vwap_gap_": lambda: (
            np.log(m.close[t] / np.average(last(m.typical, k), weights=last(m.volume, k)))
            / (usual * np.sqrt(k))
        ),
        "funding_mean_": lambda: settled[-k:].mean() * 1e4,
        "market_return_": lambda: (
            last(m.market, k).sum() / (np.exp(log_volatility(last(m.market, 50) ** 2)) * np.sqrt(k))
        ),
        "beta_residual_": lambda: (moved - beta * last(m.market, k).sum()) / (usual * np.sqrt(k)),
        "relative_strength_": lambda: (moved - last(m.market, k).sum()) / (usual * np.sqrt(k)),
    }
    for start, definition in spanned.items():
        if re.fullmatch(rf"{start}\d+", name):
            return definition()
    if found := re.fullmatch(r"ma_(\d+)_ratio", name):
        return m.close[t] / last(m.close, int(found[1])).mean() - 1
    if found := re.fullmatch(r"(day|week)_(sin|cos)_(\d)", name):
        period = DAY_MS * (7 if found[1] == "week" else 1)
        return getattr(np, found[2])(2 * np.pi * int(found[3]) * (m.time_ms[t] % period) / period)
    return None


def _against_time_of_day(values, t, days, per_day):
    return np.log(values[t] / np.mean([values[t - i * per_day] for i in range(1, days + 1)]) + 0.01)


def _opened(m, t):
    step = m.time_ms[1] - m.time_ms[0]
    return datetime.fromtimestamp((m.time_ms[t] - step) / 1_000, UTC)

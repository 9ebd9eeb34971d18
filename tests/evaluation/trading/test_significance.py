"""A sweep of rules that know nothing, and one with a rule that knows something in it."""

import numpy as np
import pytest

from polyscale.evaluation.deflated_sharpe import score_sharpe
from polyscale.evaluation.overfitting import measure_overfitting
from polyscale.evaluation.trading.significance import judge_sweep
from polyscale.evaluation.trading.sweep import Sweep, sharpe_per_period, sweep
from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe
from tests.evaluation.trading.market import coin_flips, costs, open_market, positions_over, walk

HOUR = Timeframe(60)


def sweep_of(returns_dn):
    num_periods, num_sets = returns_dn.shape
    return Sweep(
        sets=tuple(range(num_sets)),
        period=Timeframe(1_440),
        close_ms_d=np.arange(num_periods) * 86_400_000,
        returns_dn=returns_dn,
        total_return_n=np.prod(1 + returns_dn, axis=0) - 1,
        sharpe_n=sharpe_per_period(returns_dn),
        num_trades_n=np.ones(num_sets, dtype=np.int64),
    )


def noise(seed, num_periods=300, num_sets=40):
    return np.random.default_rng(seed).normal(0.0, 0.01, (num_periods, num_sets))


def test_both_measures_are_those_of_the_sweep_and_its_trials():
    returns = noise(0)
    found = judge_sweep(sweep_of(returns), other_trials=160, num_blocks=8)
    ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    assert found.chosen == np.argmax(ratios)
    assert found.trial_variance == pytest.approx(ratios.var(ddof=1), rel=1e-12)
    wanted = score_sharpe(returns[:, found.chosen].copy(), 200, found.trial_variance)
    assert found.sharpe == wanted
    assert found.overfitting.probability == measure_overfitting(returns, 8).probability
    assert found.reasons == {}


def test_sets_that_never_traded_are_trials_but_do_not_draw_the_spread_together():
    returns = noise(1)
    with_cash = np.hstack([np.zeros((300, 60)), returns])
    found, alone = judge_sweep(sweep_of(with_cash)), judge_sweep(sweep_of(returns))
    assert found.chosen == alone.chosen + 60
    assert found.trial_variance == alone.trial_variance
    assert found.sharpe.num_trials == 100
    assert found.sharpe.deflated < alone.sharpe.deflated


def test_the_best_of_noise_is_seldom_significant():
    scores = [judge_sweep(sweep_of(noise(seed)), num_blocks=2).sharpe for seed in range(300)]
    assert np.mean([score.deflated > 0.95 for score in scores]) < 0.05
    assert np.mean([score.probabilistic > 0.95 for score in scores]) > 0.8


def test_a_rule_that_knows_something_stands_out_of_its_sweep():
    bars, account = walk(30, Timeframe(15)), costs(fee_bps=0.0, slippage_bps=0.0)
    moves = np.append(np.sign(np.log(bars["close"] / bars["open"]).to_numpy())[1:], 0.0)

    def positions_of(seed):
        rng = np.random.default_rng(seed)
        targets = coin_flips(bars.height, rng)
        knows = rng.random(bars.height) < (0.3 if seed == 7 else 0.0)
        return {"A": positions_over(bars, np.where(knows, moves, targets))}

    found = judge_sweep(
        sweep(open_market(account, Timeframe(15), A=bars), range(20), positions_of, account, HOUR)
    )
    assert found.chosen == 7
    assert found.sharpe.deflated > 0.99
    assert found.overfitting.probability < 0.01


def test_what_a_short_or_a_flat_sweep_does_not_say_has_a_reason():
    short = judge_sweep(sweep_of(noise(2, 20)))
    assert short.sharpe.deflated is None
    assert short.overfitting.probability is None
    assert set(short.reasons) == {"sharpe", "overfitting"}
    flat = judge_sweep(sweep_of(np.zeros((100, 3))))
    assert set(flat.reasons) == {"sharpe", "trial_variance", "overfitting"}
    assert flat.reasons["sharpe"] == "returns do not vary"
    single = judge_sweep(sweep_of(noise(3, 100, 1)), other_trials=9)
    assert set(single.reasons) == {"trial_variance", "overfitting"}
    assert single.sharpe == score_sharpe(noise(3, 100, 1)[:, 0], 10, None)


def test_a_set_can_be_named_and_one_that_is_not_there_is_refused():
    assert judge_sweep(sweep_of(noise(0)), chosen=3, num_blocks=2).chosen == 3
    with pytest.raises(DataError, match="got 40 and 0"):
        judge_sweep(sweep_of(noise(0)), chosen=40)
    with pytest.raises(DataError, match="and -1"):
        judge_sweep(sweep_of(noise(0)), other_trials=-1)

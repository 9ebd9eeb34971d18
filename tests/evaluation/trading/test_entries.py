import numpy as np

from polyscale.evaluation.trading.entries import opens_trade
from tests.evaluation.trading.market import coin_flips, costs, open_market, positions_over, walk


def test_entries_are_the_trades_of_the_backtest():
    rng = np.random.default_rng(0)
    bars = {name: walk(seed=seed) for seed, name in enumerate(("A", "B", "C"), 1)}
    account = costs(max_leverage=2.0)
    positions = {
        name: positions_over(frame, coin_flips(frame.height, rng, 9, (-0.5, 0.0, 0.3, 0.5)))
        for name, frame in bars.items()
    }

    result = open_market(account, **bars).run(positions, account)
    opens = opens_trade(result.events.fills)

    assert result.n_trades == opens.sum() > 300
    assert result.fills["time"].to_numpy()[opens].tolist() == result.trades["entry_time"].to_numpy().tolist()
    assert (result.fills["symbol"].to_numpy()[opens] == result.trades["symbol"].to_numpy()).all()


def test_no_fill_opens_no_trade():
    assert opens_trade(np.empty((0, 8))).shape == (0,)

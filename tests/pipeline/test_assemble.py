"""What is put together of the folds, against the same thing done one origin after the other.

Forecasts, rivals and what came are made up; folds, files and the line of tests are real.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from polyscale.dataset.folds import folds
from polyscale.forecast.conformal import RATE
from polyscale.forecast.slopes import Slopes, fit_slopes
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.walk.assemble import OWN, assemble
from polyscale.pipeline.walk.calibrate import calibrate
from polyscale.pipeline.walk.keep import keep
from polyscale.pipeline.walk.plan import BASELINE, NETWORK, Cohort, Task, plan
from polyscale.pipeline.walk.results import results_of
from polyscale.pipeline.walk.task import Done, LogVariances
from polyscale.runs.folder import RunFolder
from tests.pipeline.walk_market import walk_config

LEVELS = (0.01, 0.1, 0.5, 0.9, 0.99)
BASE_QUANTILES = np.array([[-2.5, -1.2, 0.1, 1.3, 2.6], [-2.2, -1.1, 0.0, 1.1, 2.4]])
TAIL = (1.2, 1.3)
QUARTER, HOUR, DAY = 900_000, 3_600_000, 86_400_000
AHEAD = np.array([4.0, 16.0])
CONFIG = walk_config(validate_days=20)
FOLDS = folds(CONFIG.walk_forward)
ALL = Cohort("all", (0,), (0,))
SLOPES = {
    FOLDS[0]: Slopes(np.array([0.5, 0.0]), np.array([0.25, 0.5])),
    FOLDS[1]: Slopes(np.array([1.0, 0.3]), np.array([0.0, 0.4])),
}


def panel_of(seed=0):
    """Labels at every quarter of an hour from January 5 to February 16; the last have not ended."""
    rng = np.random.default_rng(seed)
    time_ms = np.arange(1736035200000 + QUARTER, 1739664000000 + 1, QUARTER)
    num = len(time_ms)
    log_variance = -12 + 0.5 * rng.normal(size=(num, 2))
    returns = np.exp(log_variance / 2) * np.sqrt(AHEAD) * rng.standard_t(5, size=(num, 2))
    for h, ahead in enumerate(AHEAD.astype(int)):
        log_variance[num - ahead :, h] = returns[num - ahead :, h] = np.nan
    targets = SimpleNamespace(
        horizons=(Timeframe.parse("1h"), Timeframe.parse("4h")),
        bars_ahead=(4, 16),
        log_return=returns,
        log_variance=log_variance,
        sigma=np.exp(rng.normal(size=num)),
    )
    return SimpleNamespace(symbol="AAA", time_ms=time_ms, targets=targets)


def forecast_at(time_ms, seed):
    rng = np.random.default_rng(seed)
    num = len(time_ms)
    volatility = np.exp(-6 + 0.25 * rng.normal(size=(num, 2))) * np.sqrt(AHEAD)
    shape = BASE_QUANTILES * np.exp(0.2 * rng.normal(size=(num, 2, 1))) + 0.2 * rng.normal(size=(num, 2, 1))
    quantiles = volatility[..., None] * shape
    return Forecast(
        close_time=time_ms.astype("datetime64[ms]"),
        horizons=(Timeframe.parse("1h"), Timeframe.parse("4h")),
        levels=LEVELS,
        scales=("15m",),
        quantiles=quantiles,
        prob_up=rng.uniform(0.3, 0.7, size=(num, 2)),
        volatility=volatility,
        expected_return=quantiles.mean(axis=2),
        base_volatility=volatility,
        scale_weights=np.ones((num, 1)),
        cross_attention=np.ones((num, 1, 1)),
    )


def asked(panel, fold):
    """Origins of validation and test."""
    return (panel.time_ms > fold.ends.train_end) & (panel.time_ms <= fold.ends.test_end)


def write(folder, panel, rivals=("base", "LightGBM"), networks=None):
    """All tasks of an evaluation as if they had been done; what each said by (fold, kind, name, seed)."""
    said, tasks = {}, plan_of(rivals)
    for number, task in enumerate(tasks):
        origins = asked(panel, task.fold)
        if task.kind == NETWORK:
            forecast = (networks or forecast_at)(panel.time_ms[origins], number)
            keep(folder, task, Done(1.0, forecasts={"AAA": forecast}))
            facts = {"seconds": 1.0, "base_quantiles": BASE_QUANTILES.tolist(), "tail": TAIL}
            (folder.path / "tasks" / task.path / "task.json").write_text(json.dumps(facts))
            said[task] = forecast
        else:
            on_grid = origins & (panel.time_ms % HOUR == 0)
            values = -12 + 0.3 * np.random.default_rng(number).normal(size=(on_grid.sum(), 2))
            keep(folder, task, Done(1.0, said={"AAA": LogVariances(panel.time_ms[on_grid], values)}))
            said[task] = dict(zip(panel.time_ms[on_grid].tolist(), values, strict=True))
    return tasks, said


def plan_of(rivals):
    symbols = [SimpleNamespace(lesson=False, market=SimpleNamespace(symbol="AAA"))]
    return plan(CONFIG.walk_forward, symbols, 1, rivals, ())


@pytest.fixture(scope="module")
def assembled(tmp_path_factory):
    folder, panel = RunFolder(tmp_path_factory.mktemp("walk")), panel_of()
    tasks, said = write(folder, panel)
    return assemble(folder, CONFIG, tasks, panel, SLOPES), panel, tasks, said


def line_of(panel):
    """(row, fold) of every hour from the first validation to the end of the last test."""
    first = FOLDS[0].ends.train_end
    for row, time in enumerate(panel.time_ms):
        if time % HOUR == 0 and first < time <= FOLDS[-1].ends.test_end:
            yield row, next(fold for fold in FOLDS if time <= fold.ends.test_end)


def stepped(panel, plain):
    """Quantiles [rows, H, Q] that moved with their misses, one origin after the other; ``plain`` by row."""
    moved = {row: np.empty((2, 5)) for row in plain}
    for h, ahead in enumerate((HOUR, 4 * HOUR)):
        offset, waiting = np.zeros(5), []
        for row, (quantiles, volatility) in plain.items():
            now = panel.time_ms[row]
            while waiting and panel.time_ms[waiting[0]] + ahead <= now:
                past = waiting.pop(0)
                came = panel.targets.log_return[past, h]
                if np.isfinite(came):
                    over = came > moved[past][h]
                    offset += RATE * HOUR / ahead * (np.array(LEVELS) - ~over)
            moved[row][h] = np.sort(quantiles[h] + volatility[h] * offset)
            waiting.append(row)
    return moved


def sloped_mean(panel, said, row, fold):
    """Quantiles [H, Q], volatility [H] and probability of up [H] of the seeds' mean at one origin."""
    time = panel.time_ms[row].astype("datetime64[ms]")
    rows = [
        f.at(f.close_time == time) for task, f in said.items() if task.kind == NETWORK and task.fold == fold
    ]
    assert len(rows) == CONFIG.walk_forward.seeds
    volatility = np.exp(np.mean([np.log(f.volatility[0]) for f in rows], axis=0))
    own, plain = np.mean([f.quantiles[0] for f in rows], axis=0), BASE_QUANTILES * volatility[:, None]
    slopes, prob = SLOPES[fold], np.mean([f.prob_up[0] for f in rows], axis=0)
    up = 1 / (1 + ((1 - prob) / prob) ** slopes.direction)
    return plain + slopes.shape[:, None] * (own - plain), volatility, up


def test_the_network_is_the_sloped_and_stepped_mean_of_its_seeds(assembled):
    track, panel, _, said = assembled
    plain, ups = {}, {}
    for row, fold in line_of(panel):
        quantiles, volatility, ups[row] = sloped_mean(panel, said, row, fold)
        plain[row] = quantiles, volatility
    moved = stepped(panel, plain)
    judged = [row for row in plain if panel.time_ms[row] > FOLDS[0].ends.validate_end]
    np.testing.assert_array_equal(track.forecast.close_time, panel.time_ms[judged].astype("datetime64[ms]"))
    np.testing.assert_allclose(track.forecast.quantiles, [moved[row] for row in judged], rtol=1e-9)
    np.testing.assert_allclose(track.forecast.prob_up, [ups[row] for row in judged], rtol=1e-9)
    np.testing.assert_allclose(track.forecast.volatility, [plain[row][1] for row in judged], rtol=1e-9)
    np.testing.assert_allclose(track.plain_var, [plain[row][0][:, 0] for row in judged], rtol=1e-9)
    np.testing.assert_allclose(track.shortfall, track.forecast.quantiles[..., 0] * TAIL, rtol=1e-12)
    entry = track.entries[OWN]
    np.testing.assert_array_equal(entry.quantiles, track.forecast.quantiles)
    np.testing.assert_allclose(np.exp(entry.log_variance / 2) * np.sqrt(AHEAD), track.forecast.volatility)
    np.testing.assert_array_equal(track.returns, panel.targets.log_return[judged])
    np.testing.assert_array_equal(track.log_variance, panel.targets.log_variance[judged])


@pytest.mark.parametrize(("name", "seeds"), [("base", (1,)), ("LightGBM", (1, 2))])
def test_a_rival_is_the_base_s_shape_in_its_own_volatility_stepped_alike(assembled, name, seeds):
    track, panel, _, said = assembled
    plain, own = {}, {}
    for row, fold in line_of(panel):
        values = [
            said[task][int(panel.time_ms[row])]
            for task in said
            if task.kind == BASELINE and task.name == name and task.fold == fold
        ]
        assert len(values) == len(seeds)
        own[row] = np.mean(values, axis=0)
        volatility = np.exp(own[row] / 2) * np.sqrt(AHEAD)
        plain[row] = BASE_QUANTILES * volatility[:, None], volatility
    moved = stepped(panel, plain)
    judged = [row for row in plain if panel.time_ms[row] > FOLDS[0].ends.validate_end]
    np.testing.assert_allclose(track.entries[name].log_variance, [own[row] for row in judged], rtol=1e-12)
    np.testing.assert_allclose(track.entries[name].quantiles, [moved[row] for row in judged], rtol=1e-9)


def test_a_network_that_says_what_the_base_says_is_no_better(tmp_path):
    folder, panel = RunFolder(tmp_path), panel_of(3)

    def as_base(time_ms, _number):
        return forecast_at(time_ms, int(time_ms[0] // DAY))

    tasks, said = write(folder, panel, ("base",), as_base)
    for task in tasks:
        if task.kind == BASELINE:
            network = next(f for t, f in said.items() if t.kind == NETWORK and t.fold == task.fold)
            on_grid = network.close_time.astype(np.int64) % HOUR == 0
            values = 2 * np.log(network.volatility[on_grid]) - np.log(AHEAD)
            times = network.close_time[on_grid].astype(np.int64)
            keep(folder, task, Done(1.0, said={"AAA": LogVariances(times, values)}))
    nothing = {fold: Slopes(np.zeros(2), np.zeros(2)) for fold in FOLDS}
    track = assemble(folder, CONFIG, tasks, panel, nothing)
    found = results_of([track], CONFIG)
    for row in found["averages"]:
        for measure in ("qlike", "pinball", "crps"):
            assert row["base"][f"{measure}_ratio"] == pytest.approx(1.0, abs=1e-9)


def test_slopes_see_validation_alone_and_labels_that_end_in_it(tmp_path):
    folder, panel = RunFolder(tmp_path), panel_of(5)
    tasks, said = write(folder, panel)
    networks = [task for task in tasks if task.kind == NETWORK and task.fold == FOLDS[1]]
    found = calibrate(folder, FOLDS[1], networks, [panel])
    ends = FOLDS[1].ends
    inside = (panel.time_ms > ends.train_end) & (panel.time_ms <= ends.validate_end - 4 * HOUR)
    kept = panel.targets.log_return.copy()
    panel.targets.log_return[~inside] = 9.0
    again = calibrate(folder, FOLDS[1], networks, [panel])
    np.testing.assert_array_equal(found.direction, again.direction)
    np.testing.assert_array_equal(found.shape, again.shape)
    panel.targets.log_return[...] = kept
    panel.targets.log_return[inside] *= 3.0
    assert (calibrate(folder, FOLDS[1], networks, [panel]).shape != found.shape).any()
    panel.targets.log_return[...] = kept
    first, second = (said[task].at(inside[asked(panel, FOLDS[1])]) for task in networks)
    mean = first.with_volatility(
        np.sqrt(first.volatility * second.volatility), (first.quantiles + second.quantiles) / 2
    )
    wanted = fit_slopes([mean], [kept[inside]], BASE_QUANTILES).shape
    np.testing.assert_allclose(found.shape, wanted, rtol=1e-9)
    assert (wanted > 0).any()


def test_without_validation_nothing_is_believed(tmp_path):
    folder, panel = RunFolder(tmp_path), panel_of()
    tasks, _ = write(folder, panel)
    networks = [task for task in tasks if task.kind == NETWORK and task.fold == FOLDS[0]]
    stranger = SimpleNamespace(symbol="ZZZ", time_ms=panel.time_ms, targets=panel.targets)
    found = calibrate(folder, FOLDS[0], networks, [stranger])
    assert (found.direction == 0).all()
    assert (found.shape == 0).all()
    assert assemble(folder, CONFIG, tasks, stranger, SLOPES) is None


def test_tails_are_asked_where_labels_do_not_overlap(assembled):
    track = assembled[0]
    tails = results_of([track], CONFIG)["symbols"]["AAA"]["tail_risk"]
    times = track.forecast.close_time.astype(np.int64)
    for h, ahead in enumerate((HOUR, 4 * HOUR)):
        apart = (times % ahead == 0) & np.isfinite(track.returns[:, h])
        assert tails[h]["num_origins"] == apart.sum()
        below = track.returns[apart, h] <= track.forecast.quantiles[apart, h, 0]
        assert tails[h]["num_exceptions"] == below.sum()
        before = track.returns[apart, h] <= track.plain_var[apart, h]
        assert tails[h]["before_steps"]["num"] == before.sum()
    assert tails[0]["num_origins"] == 14 * 24
    assert tails[1]["num_origins"] == 14 * 6


def test_a_hole_in_a_rival_is_a_hole_and_moves_nothing(tmp_path):
    folder, panel = RunFolder(tmp_path), panel_of()
    tasks, said = write(folder, panel, ("base",))
    task = next(task for task in tasks if task.kind == BASELINE and task.fold == FOLDS[1])
    times = np.array(list(said[task]))
    left = times != FOLDS[1].ends.validate_end + 5 * HOUR
    values = np.array(list(said[task].values()))
    keep(folder, task, Done(1.0, said={"AAA": LogVariances(times[left], values[left])}))
    track = assemble(folder, CONFIG, tasks, panel, SLOPES)
    holes = np.isnan(track.entries["base"].log_variance).all(axis=1)
    missed = track.forecast.close_time[holes].astype(np.int64).tolist()
    assert missed == [FOLDS[1].ends.validate_end + 5 * HOUR]
    assert np.isnan(track.entries["base"].quantiles[holes]).all()
    assert np.isfinite(track.entries["base"].quantiles[~holes]).all()
    assert results_of([track], CONFIG)["symbols"]["AAA"]["standings"][0]["num_origins"] == 14 * 24 - 1


def test_networks_and_rivals_that_draw_at_random_have_every_seed():
    counts = {}
    for task in plan_of(("base", "ridge", "LightGBM", "LSTM")):
        assert isinstance(task, Task)
        counts[task.name] = counts.get(task.name, 0) + 1
    assert counts == {"full": 4, "base": 2, "ridge": 2, "LightGBM": 4, "LSTM": 4}

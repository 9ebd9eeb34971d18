"""What a model of neuralforecast forecasts, on hours.

``python -m benchmarks.peers.neuralforecast_skill FOLDER MODEL SECONDS``.

In: FOLDER/hours.npz, an hourly series of log realised variance and what is known beside it. Out:
FOLDER/MODEL.npz, forecasts of the next 24 hours at every hour of validation and test; one line of JSON with
seconds and peak memory. Sizes, optimiser and learning rate are the model's defaults, but for what is said
below. Trained once, stopped by the validation hours or after SECONDS, one thread.
"""

import json
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import torch

warnings.filterwarnings("ignore")  # this process runs others' code and mends none of it
from neuralforecast import NeuralForecast  # noqa: E402
from neuralforecast.losses.pytorch import MSE  # noqa: E402
from neuralforecast.models import LSTM, TFT, VanillaTransformer  # noqa: E402

INPUT_HOURS, AHEAD = 168, 24
MODELS = {"LSTM": LSTM, "Transformer": VanillaTransformer, "TFT": TFT}
STEPS = {"max_steps": 10_000, "val_check_steps": 50, "early_stop_patience_steps": 10}
RECURSIVE = {"recurrent": True}  # direct, its forecast k hours ahead is made of the state 24 - k hours ago
WINDOWS = {"batch_size": 1, "windows_batch_size": 64, "inference_windows_batch_size": 256}
QUIET = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False}


def main() -> None:
    folder, name, budget_s = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    given = np.load(folder / "hours.npz")
    frame, known_ahead, known_behind = frame_of(given)
    validate, test = int(given["validate"]), int(given["test"])
    begin = time.perf_counter()
    kind = MODELS[name]
    behind = {"hist_exog_list": known_behind} if kind.EXOGENOUS_HIST and kind is not LSTM else {}
    kept = RECURSIVE if kind is LSTM else {}  # which takes nothing that is known behind alone
    model = kind(
        h=AHEAD,
        input_size=INPUT_HOURS,
        futr_exog_list=known_ahead,
        loss=MSE(),  # the mean of the log, which the caller corrects for bias
        scaler_type="robust",
        random_seed=1,
        alias="said",
        accelerator="cpu",
        devices=1,
        max_time=timedelta(seconds=budget_s),
        **behind,
        **kept,
        **STEPS,
        **WINDOWS,
        **QUIET,
    )
    forecaster = NeuralForecast(models=[model], freq="h")
    forecaster.fit(frame.iloc[: len(frame) - test], val_size=validate)
    trained = time.perf_counter()
    said = forecaster.cross_validation(
        frame, test_size=validate + test, step_size=1, n_windows=None, use_fitted=True
    )
    spent = time.perf_counter() - begin
    origins = said["cutoff"].to_numpy()[::AHEAD].astype("datetime64[ms]").astype(np.int64)
    np.savez(folder / f"{name}.npz", origin_ms=origins, said=said["said"].to_numpy().reshape(-1, AHEAD))
    status = Path("/proc/self/status").read_text()
    print(
        json.dumps(
            {
                "seconds": round(spent, 1),
                "seconds_training": round(trained - begin, 1),
                "peak_mb": round(int(status.split("VmHWM:")[1].split()[0]) / 1_024),
                "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            }
        )
    )


def frame_of(given) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The series as neuralforecast wants it, and the names of what is known ahead and behind."""
    columns = {
        **{f"season{k}": column for k, column in enumerate(given["season"].T)},
        **{f"known{k}": column for k, column in enumerate(given["behind"].T)},
    }
    frame = pd.DataFrame(
        {"unique_id": "series", "ds": given["time_ms"].astype("datetime64[ms]"), "y": given["y"], **columns}
    )
    return (
        frame,
        [name for name in columns if name.startswith("season")],
        [name for name in columns if name.startswith("known")],
    )


if __name__ == "__main__":
    main()

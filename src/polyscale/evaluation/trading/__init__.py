"""What a result of the backtest is worth: against chance, over many parameter sets, under other costs."""

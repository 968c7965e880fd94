"""The forecasting service: indicators in, forecasts, scores and the model registry out."""

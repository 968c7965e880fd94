"""What every corrector of the decider and of the forecaster is worth: each left out in turn."""

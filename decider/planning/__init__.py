"""From a forecast to candidates, their risk and cost, and the guards around a choice."""

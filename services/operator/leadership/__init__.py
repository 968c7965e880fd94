"""Election of the process that leads, and its health."""

"""Models and posteriors."""

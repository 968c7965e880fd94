"""Beliefs about capacity and lead time, and their posteriors."""

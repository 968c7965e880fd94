"""`harmony demo`: a day of demand through the whole platform on a simulated GPU cluster."""

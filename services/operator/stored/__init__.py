"""SQL of single features of the operator."""

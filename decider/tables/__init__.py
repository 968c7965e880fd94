"""Tables of what each count risks in each step: scenarios, landings, expectations."""

"""What an observation costs on its way in: over HTTP, by both protocols, into Postgres."""

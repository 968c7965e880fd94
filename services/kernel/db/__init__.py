"""Schema, migrations, sessions and bulk writes."""

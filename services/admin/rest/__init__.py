"""What all routes share: routing, lists, writes, documents, errors."""

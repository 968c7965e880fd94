"""`harmony bench …`: figures for the documents, each from a command."""

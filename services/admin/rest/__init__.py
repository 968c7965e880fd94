"""Routing, lists, writes, documents and errors that all routes share."""

"""Providers and what their items mean, which hrefs may be read, and how their bytes are reached."""

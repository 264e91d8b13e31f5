"""Runs that are killed at random moments and started again: `make soak` makes many, `make test-long` a few."""

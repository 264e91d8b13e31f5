"""Measured side by side in one run, reported as ratios and medians, never asserted by a test."""

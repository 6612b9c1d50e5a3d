"""Subset choosers: pure, one file each, found by entry point `ringctl.strategies`."""

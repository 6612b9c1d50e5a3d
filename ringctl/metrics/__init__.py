"""Metric sources, one file each, registered by entry point."""

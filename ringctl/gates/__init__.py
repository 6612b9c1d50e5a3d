"""Judges, one file each: pure folds from evidence to verdicts, registered by entry point."""

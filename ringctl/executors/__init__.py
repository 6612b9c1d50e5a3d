"""Executors: how one step is run on one account. One file a kind, named by an entry point."""

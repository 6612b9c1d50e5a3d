"""Inventories: where accounts come from. One file a kind, named by an entry point."""

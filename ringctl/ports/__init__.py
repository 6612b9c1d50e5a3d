"""Protocols between the engine and the world: store, executor, metric source, inventory, clock."""

"""A deterministic simulator: the production engine, store SQL and decision core under virtual time and faults.

Everything that production runs in threads and processes is a fiber in one OS thread here; a seeded scheduler says
who goes on, and a seed says which faults come. To replay: `python -m ringctl.testing.simulator FROM TO [--bug NAME]`.
"""

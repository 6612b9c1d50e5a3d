"""The imperative shell: commands, queries, reconcile, work, observe, loop. Combines core with ports."""

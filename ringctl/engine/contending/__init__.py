"""`doctor --contend`: real nodes contend for synthetic tasks in the configured store, disturbed, and are judged by
what the tasks' own books say."""

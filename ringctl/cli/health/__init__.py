"""What `doctor` and `db stats` look at: this host, the store, and the database under it. Nothing here writes."""

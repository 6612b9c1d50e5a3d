"""State stores. Everything but the connection is engine-neutral: `sqlstore` over a `database`."""

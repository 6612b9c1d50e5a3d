"""The demo: a small world outside ringctl (databases, a service, traffic), and its upgrade bundles."""

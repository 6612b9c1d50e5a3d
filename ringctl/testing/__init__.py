"""Public test kit: values, conformance suites, and what plug-in authors need beside them."""

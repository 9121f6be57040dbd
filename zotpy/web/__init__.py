"""The endpoints: one table of routes, thin handlers, one table of errors."""

"""The only place that knows Quart: bodies with backpressure, thin handlers, one table of errors."""

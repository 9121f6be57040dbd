"""HTTP/1.1 as zotpy speaks it, to clients and to the store: the one place that knows private parts of HTTP libraries.

Everything outside uses only the public names of hypercorn, h11, Quart, quart-trio and Werkzeug.
`tests/unit/test_fence.py` checks that.
"""

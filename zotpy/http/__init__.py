"""HTTP/1.1 as zotpy speaks it, to clients and to the store: the one place that knows private parts of HTTP libraries.

Everything outside uses hypercorn, h11, Quart, quart-trio and Werkzeug by their public names only;
`tests/unit/test_fence.py` sees to it.
"""

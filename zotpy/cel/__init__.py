"""Expressions in CEL, the Common Expression Language, as zot's files have them.

The extra `cel` brings the library, which is Google's own implementation in C++. This package says what an expression
may cost before it is ever evaluated, because nothing can stop an evaluation once it has begun.
"""

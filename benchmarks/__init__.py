"""Benchmarks of `make bench`: every module bench_*.py has a function `run() -> list[dict]`, one dict per table row.

Keys are the columns, with a unit if it is not SI ("ms", "bytes"); values are texts, numbers or None. The first line of
a module's docstring is the title of its table.
"""

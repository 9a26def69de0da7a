"""What `make bench` runs: every module bench_*.py here has `run() -> list[dict]`, one dict a row of its table.

Keys are the columns, with their unit where they are not SI ("ms", "bytes"); values are texts, numbers or None. The
first line of a module's docstring is the title of its table.
"""

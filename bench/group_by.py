"""Sums count and memsize by file and line with DuckDB: `python bench/group_by.py DUMP`. Prints the seconds of the query alone.

Columns are given, so nothing is inferred, rows may come in any order, and the limit of a line stays as it is: the fastest of the
forms tried (larger lines allowed, objects as JSON and `->>`, whole lines and a regular expression).
"""

import sys
import time

import duckdb

connection = duckdb.connect()
connection.execute("SET threads = 2")
connection.execute("SET preserve_insertion_order = false")
start = time.perf_counter()
rows = connection.execute(
    """
    SELECT file, line, count(*) AS count, sum(memsize) AS bytes
    FROM read_ndjson(?, columns = {file: 'VARCHAR', line: 'BIGINT', memsize: 'BIGINT'})
    GROUP BY file, line ORDER BY bytes DESC LIMIT 50
    """,
    [sys.argv[1]],
).fetchall()
seconds = time.perf_counter() - start
print(f"{len(rows)} rows, the first {rows[0]}")
print(f"{seconds:.3f} s")

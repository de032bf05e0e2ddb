"""The inbox of `heap_inspector fleet` as a Spark SQL job over the same files.

    heap_inspector fleet s3://bucket/summaries --sql > /dev/null   # the same query, as DuckDB has it
    spark-submit fleet.py s3a://bucket/summaries s3a://bucket/inbox [--since 2026-01-02] [--from 2026-01-01] [--service shop]

It writes the inbox as Parquet, and questions of docs/fleet.md may be asked of its views. No table is collected to the driver.
"""

import argparse
import pathlib
import re

from pyspark.sql import SparkSession

# The lists in a dump's row, each of which becomes a view; the columns of the dump that stand before theirs.
LISTS = ["work", "suspects", "paths", "classes", "sites", "gems", "strings", "roots"]
OWN = "service, deploy, host, pid, process, taken, uptime, requests"


def quoted(text):
    """A text as Spark's SQL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def views(spark, places, service=None, taken_from=None, taken_until=None):
    """Makes the views `dumps`, `paths`, ... over the files at the places."""
    # Columns of the folders are in the files as well; a later version's file may have columns more. What is broken is left out.
    dumps = (
        spark.read.option("mergeSchema", "true")
        .option("recursiveFileLookup", "true")
        .option("pathGlobFilter", "*.parquet")
        .option("ignoreCorruptFiles", "true")
        .parquet(*places)
    )
    if service is not None:
        dumps = dumps.where(dumps.service == service)
    if taken_from is not None:
        dumps = dumps.where(f"taken >= {time_sql(taken_from)}")
    if taken_until is not None:
        dumps = dumps.where(f"taken < {time_sql(taken_until)}")
    dumps.createOrReplaceTempView("dumps")
    for name in LISTS:
        spark.sql(
            f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT {OWN}, one.* "
            f"FROM (SELECT {OWN}, explode({name}) AS one FROM dumps) AS rows_of"
        )


def time_sql(text):
    """A day or a time in UTC."""
    return f"CAST({quoted(text)} AS TIMESTAMP_NTZ)"


def since_sql(since):
    """When is new, as the query has it: a time, or a deploy's first dump."""
    if since is None:
        return "CAST(NULL AS TIMESTAMP_NTZ)"
    if re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?", since):
        return time_sql(since)
    return f"(SELECT min(taken) FROM dumps WHERE deploy = {quoted(since)})"


def inbox(spark, query, since=None):
    """The inbox, a row for each leak."""
    return spark.sql(query.replace("{since}", since_sql(since)))


def main():
    parser = argparse.ArgumentParser(description="What leaks in a fleet")
    parser.add_argument("place", help="the folder of the summaries")
    parser.add_argument("output", help="where the inbox goes, as Parquet")
    parser.add_argument("--since", help="what was first seen then is new: a day, a time in UTC, or a deploy")
    parser.add_argument("--from", dest="taken_from", help="of dumps taken then or later alone: a day, or a time in UTC")
    parser.add_argument("--until", dest="taken_until", help="of dumps taken before alone")
    parser.add_argument("--service", help="of this service alone")
    parser.add_argument("--query", default=str(pathlib.Path(__file__).with_name("inbox.sql")), help="the query's file")
    words = parser.parse_args()
    spark = SparkSession.builder.appName("heap_inspector fleet").getOrCreate()
    views(spark, [words.place], words.service, words.taken_from, words.taken_until)
    found = inbox(spark, pathlib.Path(words.query).read_text(encoding="utf-8"), words.since)
    found.write.mode("overwrite").parquet(words.output)
    spark.stop()


if __name__ == "__main__":
    main()

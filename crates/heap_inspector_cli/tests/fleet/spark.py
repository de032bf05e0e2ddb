"""Asks Spark for the inbox and for other questions: a line of JSON for each, the list of its rows."""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[4]
sys.path.insert(0, str(ROOT / "examples" / "spark"))

import fleet  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

place, questions, since = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "1")
    .config("spark.sql.session.timeZone", "UTC")
    .getOrCreate()
)
fleet.views(spark, [place])
query = (ROOT / "examples" / "spark" / "inbox.sql").read_text(encoding="utf-8")
frames = [fleet.inbox(spark, query, since)]
frames += [spark.sql(question) for question in json.loads(pathlib.Path(questions).read_text(encoding="utf-8"))]
for frame in frames:
    print(json.dumps([json.loads(row) for row in frame.toJSON().collect()]))
spark.stop()

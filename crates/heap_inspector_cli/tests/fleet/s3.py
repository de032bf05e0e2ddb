"""An S3 server with a bucket `fleet`, in which the files of a folder lie; says its address and serves until its input ends."""

import pathlib
import sys

import boto3
from moto.server import ThreadedMotoServer

folder = pathlib.Path(sys.argv[1])
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
address = "http://{}:{}".format(*server.get_host_and_port())
store = boto3.client("s3", endpoint_url=address, aws_access_key_id="id", aws_secret_access_key="key", region_name="eu-west-1")
store.create_bucket(Bucket="fleet", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
for path in folder.rglob("*"):
    if path.is_file():
        store.upload_file(str(path), "fleet", str(path.relative_to(folder)))
print(address, flush=True)
sys.stdin.read()
server.stop()

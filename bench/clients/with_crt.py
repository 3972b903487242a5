"""The AWS common runtime, as s3transfer drives it: the engine that aws-cli v2 can use.

boto3's own switch to it ignores endpoint_url, so its transfer manager is made here.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import awscrt.io
import awscrt.s3
from awscrt.auth import AwsCredentialsProvider
from botocore.session import Session
from job import BUCKET, job
from s3transfer.crt import BotocoreCRTRequestSerializer, CRTTransferManager


def tls_options() -> awscrt.io.TlsConnectionOptions:
    context = awscrt.io.TlsContextOptions()
    context.override_default_trust_store_from_path(None, os.environ["AWS_CA_BUNDLE"])
    return awscrt.io.ClientTlsContext(context).new_connection_options()


def main() -> None:
    task = job()
    secure = urlsplit(task.endpoint).scheme == "https"
    loops = awscrt.io.EventLoopGroup()
    bootstrap = awscrt.io.ClientBootstrap(loops, awscrt.io.DefaultHostResolver(loops))
    keys = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    client = awscrt.s3.S3Client(
        bootstrap=bootstrap,
        region="us-east-1",
        signing_config=awscrt.s3.create_default_s3_signing_config(
            region="us-east-1", credential_provider=AwsCredentialsProvider.new_static(*keys)
        ),
        part_size=task.part_size or None,
        multipart_upload_threshold=task.part_size or None,
        # It makes a connection for each 0.4 Gbit/s that it is told to reach; if nobody
        # says, s3transfer takes what it recommends for the machine, or 10.
        throughput_target_gbps=0.4 * task.connections
        or awscrt.s3.get_recommended_throughput_target_gbps()
        or 10.0,
        tls_mode=getattr(awscrt.s3.S3RequestTlsMode, "ENABLED" if secure else "DISABLED"),
        tls_connection_options=tls_options() if secure else None,
    )
    arguments = {"endpoint_url": task.endpoint, "region_name": "us-east-1"}
    serializer = BotocoreCRTRequestSerializer(Session(), arguments)
    with CRTTransferManager(client, serializer) as manager:
        if not task.upload and task.many:
            msg = "s3transfer.crt lists nothing"
            raise SystemExit(msg)
        if task.upload:
            files = task.local_files() if task.many else [(task.key, task.path)]
            futures = [manager.upload(path, BUCKET, key) for key, path in files]
        else:
            futures = [manager.download(BUCKET, task.key, task.path)]
        for future in futures:
            future.result()


main()

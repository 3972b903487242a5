"""boto3 as its documentation shows it: upload_file, download_file, threads for many files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from job import BUCKET, job


def main() -> None:
    task = job()
    connections = task.connections or TransferConfig().max_concurrency
    client = boto3.client(
        "s3", endpoint_url=task.endpoint, config=Config(max_pool_connections=connections)
    )
    config = TransferConfig(use_threads=not task.many)
    if task.connections:
        config = TransferConfig(
            multipart_threshold=task.part_size,
            multipart_chunksize=task.part_size,
            max_concurrency=connections,
            use_threads=not task.many,
        )

    def up(item: tuple[str, str]) -> None:
        client.upload_file(item[1], BUCKET, item[0], Config=config)

    def down(key: str) -> None:
        client.download_file(BUCKET, key, task.target_of(key), Config=config)

    if not task.many:
        if task.upload:
            up((task.key, task.path))
        else:
            client.download_file(BUCKET, task.key, task.path, Config=config)
        return
    with ThreadPoolExecutor(connections) as threads:
        if task.upload:
            list(threads.map(up, task.local_files()))
            return
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=task.key)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        list(threads.map(down, keys))


main()

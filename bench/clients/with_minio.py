"""minio: fput_object with parallel parts; fget_object, which is one stream."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from job import BUCKET, job
from minio import Minio


def main() -> None:
    task = job()
    url = urlsplit(task.endpoint)
    client = Minio(
        url.netloc,
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        secure=url.scheme == "https",
        region="us-east-1",
    )

    # 3 is its own, as is the part size that it takes for 0.
    connections = task.connections or 3

    def up(item: tuple[str, str]) -> None:
        client.fput_object(
            BUCKET,
            item[0],
            item[1],
            part_size=task.part_size,
            num_parallel_uploads=1 if task.many else connections,
        )

    def down(key: str) -> None:
        client.fget_object(BUCKET, key, task.target_of(key))

    if not task.many:
        if task.upload:
            up((task.key, task.path))
        else:
            client.fget_object(BUCKET, task.key, task.path)
        return
    with ThreadPoolExecutor(connections) as threads:
        if task.upload:
            list(threads.map(up, task.local_files()))
        else:
            listed = client.list_objects(BUCKET, task.key, recursive=True)
            list(threads.map(down, [item.object_name for item in listed]))


main()

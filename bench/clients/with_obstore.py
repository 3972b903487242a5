"""obstore: its own multipart upload; downloads as ranges that are fetched concurrently.

Its `get` streams an object over one connection, so a large one is fetched here
by ranges of the part size, as many at once as it has connections.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import obstore
from job import BUCKET, Job, job
from obstore.store import S3Store

# As its documentation gives them.
DEFAULT_CONNECTIONS = 12
DEFAULT_PART_SIZE = 5 << 20


async def upload(store: S3Store, task: Job) -> None:
    if not task.many:
        await obstore.put_async(
            store,
            task.key,
            Path(task.path),
            chunk_size=task.part_size,
            max_concurrency=task.connections,
            use_multipart=os.stat(task.path).st_size > task.part_size,  # noqa: PTH116
        )
        return
    slots = asyncio.Semaphore(task.connections)

    async def one(key: str, path: str) -> None:
        async with slots:
            size = os.stat(path).st_size  # noqa: PTH116
            await obstore.put_async(
                store,
                key,
                Path(path),
                chunk_size=task.part_size,
                max_concurrency=1,
                use_multipart=size > task.part_size,
            )

    async with asyncio.TaskGroup() as group:
        for key, path in task.local_files():
            group.create_task(one(key, path))


async def download(store: S3Store, task: Job) -> None:
    slots = asyncio.Semaphore(task.connections)

    async def part(file: int, key: str, start: int, end: int) -> None:
        async with slots:
            data = await obstore.get_range_async(store, key, start=start, end=end)
            await asyncio.to_thread(os.pwrite, file, data, start)

    async def one(key: str, path: str, size: int) -> None:
        file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        try:
            async with asyncio.TaskGroup() as group:
                for start in range(0, size, task.part_size):
                    end = min(start + task.part_size, size)
                    group.create_task(part(file, key, start, end))
        finally:
            os.close(file)

    if not task.many:
        found = await obstore.head_async(store, task.key)
        await one(task.key, task.path, found["size"])
        return
    async with asyncio.TaskGroup() as group:
        async for page in obstore.list(store, task.key):
            for item in page:
                path = task.target_of(item["path"])
                group.create_task(one(item["path"], path, item["size"]))


def main() -> None:
    task = job()
    if not task.connections:
        task = task._replace(connections=DEFAULT_CONNECTIONS, part_size=DEFAULT_PART_SIZE)
    store = S3Store(
        BUCKET,
        endpoint=task.endpoint,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    asyncio.run(upload(store, task) if task.upload else download(store, task))
    # All is done. Its threads are aborted in some runs while the interpreter takes itself apart.
    os._exit(0)


main()

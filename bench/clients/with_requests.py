"""MLflow's way: threads, and for each part one call of requests, without a session.

MLflow's client reads a part into memory and puts it to a presigned URL, and gets
a range into memory before it writes it. The tracking server is left out: the
upload is opened and completed here. Nothing is hashed, nothing is compared.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import requests
from job import BUCKET, Job, job

# Of the same length as a real one: it is sent with every part.
SIGNATURE = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature="
    + 64
    * "0"
)


# As MLflow 3.17 does it: two threads for each core, 20 at most.
DEFAULT_CONNECTIONS = min(20, 2 * (os.cpu_count() or 1))
DEFAULT_UPLOAD_PART, DEFAULT_DOWNLOAD_PART = 10 << 20, 100 << 20


def url_of(task: Job, key: str, query: str = "") -> str:
    return f"{task.endpoint}/{BUCKET}/{key}?{query}{'&' if query else ''}{SIGNATURE}"


def upload_file(task: Job, key: str, path: str, threads: ThreadPoolExecutor | None) -> None:
    size = os.stat(path).st_size  # noqa: PTH116
    if size <= task.part_size:
        with open(path, "rb") as file:  # noqa: PTH123
            requests.put(url_of(task, key), data=file, timeout=600).raise_for_status()
        return
    answer = requests.post(url_of(task, key, "uploads"), timeout=600)
    answer.raise_for_status()
    upload = re.search("<UploadId>(.*)</UploadId>", answer.text)[1]  # type: ignore[index]

    def part(start: int) -> str:
        number = start // task.part_size + 1
        with open(path, "rb") as file:  # noqa: PTH123
            file.seek(start)
            data = file.read(task.part_size)
        url = url_of(task, key, f"partNumber={number}&uploadId={upload}")
        answer = requests.put(url, data=data, timeout=600)
        answer.raise_for_status()
        return (
            f"<Part><PartNumber>{number}</PartNumber><ETag>{answer.headers['ETag']}</ETag></Part>"
        )

    starts = range(0, size, task.part_size)
    parts = list(threads.map(part, starts) if threads else map(part, starts))
    document = "".join(["<CompleteMultipartUpload>", *parts, "</CompleteMultipartUpload>"])
    url = url_of(task, key, f"uploadId={upload}")
    requests.post(url, data=document, timeout=600).raise_for_status()


def download_file(task: Job, key: str, path: str, threads: ThreadPoolExecutor | None) -> None:
    answer = requests.head(url_of(task, key), timeout=600)
    answer.raise_for_status()
    size = int(answer.headers["Content-Length"])
    with open(path, "wb"):  # noqa: PTH123
        pass

    def part(start: int) -> None:
        end = min(start + task.part_size, size) - 1
        headers = {"Range": f"bytes={start}-{end}"}
        with requests.get(url_of(task, key), headers=headers, timeout=600) as answer:
            answer.raise_for_status()
            with open(path, "r+b") as file:  # noqa: PTH123
                file.seek(start)
                file.write(answer.content)

    starts = range(0, size, task.part_size)
    list(threads.map(part, starts) if threads else map(part, starts))


def main() -> None:
    task = job()
    if not task.connections:
        part_size = DEFAULT_UPLOAD_PART if task.upload else DEFAULT_DOWNLOAD_PART
        task = task._replace(connections=DEFAULT_CONNECTIONS, part_size=part_size)
    move = upload_file if task.upload else download_file
    with ThreadPoolExecutor(task.connections) as threads:
        if not task.many:
            move(task, task.key, task.path, threads)
            return
        if task.upload:
            files = task.local_files()
        else:
            # Its server lists for it; the names are known here.
            names = [f"{number:05d}" for number in range(task.count)]
            files = [(task.key + name, task.path + name) for name in names]
        list(threads.map(lambda item: move(task, *item, None), files))


main()

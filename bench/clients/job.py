"""What a client is asked to do, read from its command line without any library.

DIRECTION ENDPOINT PATH KEY CONNECTIONS PART_SIZE COUNT: a PATH that ends with a
slash is a folder of COUNT files, KEY is then the prefix that they lie below. With
0 CONNECTIONS and PART_SIZE 0, the library does as it does if nobody says.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

BUCKET = "bench"


class Job(NamedTuple):
    """One transfer of one file, or of a folder of files."""

    upload: bool
    endpoint: str
    path: str
    key: str
    connections: int
    part_size: int
    count: int

    @property
    def many(self) -> bool:
        return self.path.endswith("/")

    def local_files(self) -> list[tuple[str, str]]:
        """Return (key, path) of what is in the folder."""
        return [(self.key + entry.name, entry.path) for entry in os.scandir(self.path)]

    def target_of(self, key: str) -> str:
        """Return where an object that was listed goes."""
        return self.path + key.removeprefix(self.key)


def job() -> Job:
    """Return what this process was started for."""
    direction, endpoint, path, key, connections, part_size, count = sys.argv[1:]
    return Job(direction == "up", endpoint, path, key, int(connections), int(part_size), int(count))

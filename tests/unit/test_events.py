from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

import pytest

from transfer import events
from transfer.events import (
    FileDone,
    FileFailed,
    FileProgress,
    FileSkipped,
    FileStarted,
    Interrupted,
    Notice,
    PartRaised,
    Progress,
    Resumed,
    Retrying,
    RunDone,
    to_dict,
)
from transfer.model import Verified

if TYPE_CHECKING:
    from transfer.events import Event

EXAMPLES = [
    FileStarted("a", "b", 5, 0),
    PartRaised("b", 1, 2),
    Retrying("b", "part 1", 1, 0.5, "gone"),
    Resumed("b", 3, 100, 500),
    Notice("well"),
    FileDone("a", "b", 5, 0, 1.5, Verified.CONTENT, "crc32c:AAAAAA=="),
    FileSkipped("a", "b", 5, "it is there"),
    FileFailed("a", "b", "not_found", "no such key"),
    Progress(1, 2, 3, 4, listed=True, running=(FileProgress("b", 1, 2),)),
    Interrupted("SIGINT"),
    RunDone(1, 2, 3, 4, 5, 6, 7.5),
]


def test_there_is_an_example_of_every_event():
    assert {type(event) for event in EXAMPLES} == set(get_args(events.Event))


@pytest.mark.parametrize("event", EXAMPLES)
def test_event_is_json_under_its_name(event: Event):
    found = json.loads(json.dumps(to_dict(event)))
    fields = {name: getattr(event, name) for name in type(event).__dataclass_fields__}
    assert found.keys() == {"event", *fields}


def test_names_are_told_apart():
    assert len({to_dict(event)["event"] for event in EXAMPLES}) == len(EXAMPLES)


def test_shape_that_readers_of_the_output_know():
    done = FileDone("a", "s3://b/k", 5, 0, 1.5, Verified.SIZE)
    assert json.dumps(to_dict(done)) == (
        '{"event": "file", "source": "a", "target": "s3://b/k", "size": 5, "parts": 0,'
        ' "elapsed": 1.5, "verified": "size", "checksum": null}'
    )

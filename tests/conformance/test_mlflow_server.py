from __future__ import annotations

import pytest

from tests.conformance.suite import StoreConformance, get, keys, put
from transfer.errors import BadKeyError
from transfer.model import Intent

pytestmark = [pytest.mark.mlflow, pytest.mark.servers]

_TAKEN_FOR_OTHERS = dict.fromkeys(
    ("100%25.bin", "a%20b.bin", "c#d.bin"), "MLflow takes names with %20 or # for others"
)
_GIVEN_UP = "MLflow answers 500 where rclone has given the upload up"


class TestMlflowServer(StoreConformance):
    """MLflow's own server with S3 behind it: it signs parts, and says little else."""

    shown = "`mlflow-artifacts://`"
    against = "mlflow server"
    version_from = (".venv-mlflow/bin/mlflow", "--version")
    unable = {
        "no_clobber_refuses_to_replace": "MLflow's protocol has no conditions",
        "an_object_replaced_while_read_is_noticed": "MLflow's protocol has no versions",
        "a_part_sent_again_replaces_the_first": "rclone answers 501 to other content",
        "sent_lists_the_parts_that_are_there": "MLflow's protocol does not list parts",
        "a_part_that_is_cancelled_is_not_there": "MLflow's protocol does not list parts",
        "a_missing_part_is_no_object": _GIVEN_UP,
        "a_part_that_is_not_the_one_sent_is_no_object": _GIVEN_UP,
        "completing_twice_ends_with_the_object": "an upload is known to one run only",
    }
    nameless = _TAKEN_FOR_OTHERS

    @pytest.fixture
    async def store(self, mlflow_server, open_store):
        async with open_store(f"mlflow-artifacts://{mlflow_server}/", {}) as store:
            yield store

    @pytest.mark.parametrize("name", _TAKEN_FOR_OTHERS)
    async def test_what_the_server_takes_for_another_name_is_refused(self, store, room, name):
        await put(store, room + "a b.bin", b"not to be touched")
        for act in (
            put(store, room + name, b"x"),
            store.parts.create(room + name, Intent(1, 1)),
            get(store, room + name),
            store.delete(room + name),
        ):
            with pytest.raises(BadKeyError, match="MLflow"):
                await act
        assert await keys(store, room) == [room + "a b.bin"]

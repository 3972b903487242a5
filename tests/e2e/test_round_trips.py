"""Every store, through the installed command: a large file and a tree there and back.

Directly, and by somebody without credentials through a coordinator.
"""

from __future__ import annotations

import pytest

from tests.support.command import MIB, digest, digests, done, make_file, make_tree
from tests.support.names import awkward_names
from tests.support.places import WAYS, behind_coordinator, make_place

pytestmark = [pytest.mark.servers, pytest.mark.timeout(500)]


@pytest.fixture(scope="module")
def place(request):
    made = make_place(request.param, request.getfixturevalue)
    yield made
    made.empty()


@pytest.fixture(scope="module")
def reached(request, place, tmp_path_factory):
    if request.param == "direct":
        yield place
        return
    with behind_coordinator(place, tmp_path_factory.mktemp("coordinator")) as coordinated:
        yield coordinated


@pytest.mark.parametrize("size", [20 * MIB + 7, pytest.param(300 * MIB, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("place", "reached"), WAYS, indirect=True)
def test_a_file_comes_back_as_it_was(place, reached, size, tmp_path):
    source, back = make_file(tmp_path / "in.bin", size), tmp_path / "out.bin"
    there = reached.at("a folder/model v1+2%.bin")
    how = {"state": tmp_path / "state", "environ": reached.environ}
    done("push", source, there, **how)
    assert not place.left()
    done("pull", there, back, **how)
    assert digest(back) == digest(source)


@pytest.mark.parametrize(("place", "reached"), WAYS, indirect=True)
def test_a_tree_of_awkward_names_comes_back_as_it_was(place, reached, tmp_path):
    if not place.lists:
        pytest.skip("it has no listings")
    names = [name for name in awkward_names() if reached.takes(name)]
    assert len(names) > 150
    tree, back = make_tree(tmp_path / "in", names), tmp_path / "out"
    how = {"state": tmp_path / "state", "environ": reached.environ}
    done("push", f"{tree}/", reached.at("a tree/"), **how)
    assert not place.left()
    done("pull", reached.at("a tree/"), back, **how)
    assert digests(back) == digests(tree)

"""What must hold whatever happened; each returns nothing, and notes what does not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from backends.partial_file import is_ours
from tests.faults.campaign.cheap import PART
from tests.faults.campaign.world import KEY
from tests.faults.harness import NAMED
from transfer.errors import error_class

if TYPE_CHECKING:
    from tests.faults.campaign.play import Play

_SECRETS = re.compile(
    r"(X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|[?&]signature)=[^&\s…]"
    rf"|strict/secret|{'k' * 32}",
    re.IGNORECASE,
)


def after_a_run(play: Play, said: dict[str, Any]) -> None:
    """Success means the whole content, failure a typed error, and nothing half is visible."""
    there = content(play)
    if said["done"]:
        if there not in play.versions and not _excused(play, said):
            play.finding(f"corrupt: success ({said['verified']}), but {_compared(play, there)}")
        _no_weaker(play, said)
    elif said["ended"] == "report" and not said["skipped"] and _untyped(said["code"]):
        play.finding(f"untyped: {said['code']} {said['text']}")
    if there not in [play.old, *play.versions] and not _damaged_by_the_store(play, said):
        play.finding(f"half: {_compared(play, there)} after {said['ended']} {said['code']}")
    for name in _names(play):
        if name != KEY and not (is_ours(name) and play.schedule.way == "pull"):
            play.finding(f"half: {name} is visible")


def _untyped(code: str | None) -> bool:
    return code is None or error_class(code).code == "transfer"


def _no_weaker(play: Play, said: dict[str, Any]) -> None:
    """A store that checks parts is asked to: the word for less is not enough."""
    schedule = play.schedule
    checks = NAMED[schedule.personality].checksums and schedule.way == "push"
    asked = schedule.checksum in {"auto", "crc32c"}
    refused = play.flipped or any(play.lied(name) for name in ("400", "501"))
    if checks and asked and not refused and said["verified"] != "content":
        play.finding(f"weaker: verified by {said['verified']} where the store checks")


def after_peace(play: Play, said: dict[str, Any]) -> None:
    """With nothing in its way, a transfer arrives."""
    there = content(play)
    if said["done"] and there == play.versions[-1]:
        return
    if said["code"] == "not_found" and play.deleted:
        return
    if said["code"] == "exists" and play.schedule.no_clobber and there is not None:
        return
    play.finding(f"peace: {said['ended']} {said['code']} {said['text']}")


def in_the_end(play: Play) -> None:
    """Nothing is left over, nothing was said that is nobody's business, nobody went mad."""
    world = play.world
    open_now = {upload.id for upload in world.store.open_uploads}
    known = set() if _nowhere_to_note(play) else play.known
    for upload in sorted(open_now & known):
        play.finding(f"orphan: the upload {upload[:8]} is open")
    play.outcome.unknown += len(open_now - known)
    for record, _ in play.journal.records():
        play.finding(f"orphan: the record {record.id} is left")
    left = [name for name in _names(play) if name != KEY]
    if left and play.killed:
        play.outcome.unknown += len(left)
    elif left:
        play.finding(f"orphan: {left} left")
    for request, _ in world.canary.seen:
        play.finding(f"led astray: {request.method} to a foreign server")
    for crash in world.store.crashes:
        play.finding(f"the harness itself: {crash!r}")
    for complaint in world.complaints:
        play.finding(f"unheard: {complaint}")
    _no_secrets(play)
    runs = len(play.outcome.runs)
    parts = -(-max(map(len, play.versions)) // PART)
    most = runs * (8 * (parts + 6)) + 40
    if len(world.store.log) > most:
        play.finding(f"storm: {len(world.store.log)} requests, {most} at most")


def _nowhere_to_note(play: Play) -> bool:
    """Whether the journal's disk failed, and the person was told what may be left in the store."""
    failed = any(name.startswith("disk") for name in play.outcome.hits)
    return failed and any("may still be open" in text for text in play.said)


def content(play: Play) -> bytes | None:
    """Return what is at the target now."""
    if play.schedule.way == "push":
        stored = play.world.store.objects.get(play.world.key)
        return stored.data if stored is not None else None
    path = play.world.target
    return path.read_bytes() if path.exists() else None


def _names(play: Play) -> list[str]:
    if play.schedule.way == "pull":
        return [path.name for path in play.world.target.parent.iterdir()]
    return [key.rpartition("/")[2] for key in play.world.store.objects]


def _excused(play: Play, said: dict[str, Any]) -> bool:
    """Where nobody checks, and the result says so, a bit may flip on the way.

    So may an object be replaced between two ranges, if the store has no versions.
    """
    unversioned = NAMED[play.schedule.personality].no_version and play.schedule.way == "pull"
    replaced = unversioned and len(play.versions) > 1
    flipped = play.flipped or bool(play.lied("flip"))
    # One that was killed has not said what it verified; here, it could only have been the size.
    mute = said["ended"] == "killed" and not NAMED[play.schedule.personality].checksums
    return (said["verified"] == "size" or mute) and (flipped or replaced)


def _damaged_by_the_store(play: Play, said: dict[str, Any]) -> bool:
    """What it confirmed and did not keep is its own affair; so are bits that nobody checks."""
    lied = play.lied("keep one byte less") or play.lied("forget", "CompleteMultipartUpload")
    return bool(lied) or play.flipped or _excused(play, said)


def _compared(play: Play, there: bytes | None) -> str:
    if there is None:
        return "there is nothing"
    wanted = play.versions[-1]
    if len(there) != len(wanted):
        return f"{len(there)} bytes are there, not {len(wanted)}"
    first = next(n for n, (a, b) in enumerate(zip(there, wanted, strict=True)) if a != b)
    return f"byte {first} differs"


def _no_secrets(play: Play) -> None:
    for text in [*play.world.voices.lines, *play.said]:
        found = _SECRETS.search(text)
        if play.world.token in text:
            play.finding("secret: the token")
        if found:
            play.finding(f"secret: {found[0][:20]!r} in {text[:200]!r}")
    for path in (play.world.folder / "state").rglob("*"):
        if path.is_file() and _SECRETS.search(path.read_text(errors="replace")):
            play.finding(f"secret: in {path.name}")

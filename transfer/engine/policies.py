"""What the settings say of retries, connections and parts, in the terms of those who decide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transfer.pacing import Bounds
from transfer.planner import Plan, Preference, plan
from transfer.retries import RetryPolicy
from transfer.scheduler import Limits
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer.engine.attempts import Lane
    from transfer.planner import Grain
    from transfer.settings import Settings
    from transfer.store import Store


def policy_of(settings: Settings, lane: Lane) -> RetryPolicy:
    """Return the retry policy for a lane; calls to a coordinator have settings of their own."""
    policy = RetryPolicy(
        attempts=settings.attempts,
        patience=settings.outage_patience,
        honour_retry_after=settings.respect_retry_after,
    )
    if lane.data or not lane.store.startswith(("mlflow-artifacts:", "transfer+")):
        return policy
    if settings.request_retries is not None:
        policy = replace(policy, attempts=settings.request_retries + 1)
    if settings.request_backoff is not None:
        policy = replace(policy, base=settings.request_backoff, cap=120.0)
    return replace(policy, added_jitter=settings.request_jitter)


def preference_of(settings: Settings, *, download: bool) -> Preference:
    """Return how files are to be cut, by the direction they go."""
    if download:
        return Preference(
            settings.download_part_size,
            settings.download_threshold,
            multipart=settings.enable_download is not False,
        )
    return Preference(
        settings.upload_part_size,
        settings.upload_threshold,
        multipart=settings.enable_upload is not False,
    )


def plan_of(
    size: int,
    source: Store,
    target: Store,
    settings: Settings,
    *,
    connections: int,
    grain: Grain,
    former: Callable[[], int | None],
    as_it_is: bool,
) -> Plan:
    """Return how a file is cut; `former` says into which parts a run before has begun it.

    `as_it_is`: with the metadata that it has, whatever is there already.
    """
    preference = preference_of(settings, download=target.traits.local)
    if target.traits.local and source.traits.range_size is not None:
        preference = replace(preference, part_size=source.traits.range_size)
    limits = target.parts.limits if target.parts and source.traits.concurrent_reads else None
    realm = target.traits.copies_whole
    by_itself = as_it_is and bool(realm) and realm == source.traits.copies_whole
    cuttable = None if by_itself else limits
    cut = plan(size, target.traits, cuttable, preference, connections, grain=grain)
    if cut.part_size is None and limits is not None and preference.multipart:
        # What a former run has begun in parts is gone on with in parts.
        cut = Plan(size, former())
    return cut


def bounds_of(settings: Settings) -> Bounds:
    """Return between which numbers the connections may be; one that was set is not exceeded."""
    if settings.concurrency is not None:
        return Bounds(settings.concurrency, settings.concurrency)
    usual = Bounds()
    # Each has a buffer.
    most = min(usual.most, max(1, settings.max_memory // MIB))
    return Bounds(min(usual.start, most), most)


def planned_for(bounds: Bounds) -> int:
    """Return the connections that parts are cut for; few paths need as many as there may be."""
    return bounds.most if bounds.start == bounds.most else (bounds.most + 1) // 2


def limits_of(settings: Settings, operations: int) -> Limits:
    """Return what so many turns may take on: a few files more, for those that wait to be ended."""
    return Limits(operations, operations + max(2, operations // 4), settings.max_memory)

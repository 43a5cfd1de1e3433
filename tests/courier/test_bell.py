from __future__ import annotations

import asyncio

import pytest

from common.courier.bell import Bell


def test_a_ring_before_the_wait_is_heard() -> None:
    async def story() -> None:
        bell = Bell()
        heard = bell.heard("45", "control")
        bell.ring("45", "control")
        async with asyncio.timeout(1):
            await bell.wait("45", "control", heard, 60)

    asyncio.run(story())


def test_a_ring_wakes_those_who_wait_for_it_and_nobody_else() -> None:
    async def story() -> None:
        bell = Bell()
        first, second, other = (asyncio.create_task(bell.wait("45", s, 0, 60)) for s in ("a", "a", "b"))
        await asyncio.sleep(0)
        bell.ring("45", "a")
        async with asyncio.timeout(1):
            await asyncio.gather(first, second)
        assert not other.done()
        bell.ring_all()
        async with asyncio.timeout(1):
            await other

    asyncio.run(story())


def test_a_ring_for_all_before_the_wait_is_heard() -> None:
    async def story() -> None:
        bell = Bell()
        bell.ring("45", "a")
        heard = [bell.heard("45", stream) for stream in ("a", "b", "c")]
        bell.ring_all("a")
        async with asyncio.timeout(1):
            await bell.wait("45", "a", heard[0], 60)
            await bell.wait("45", "b", heard[1], 0.01)
        assert bell.heard("45", "b") == heard[1]
        bell.ring_all()
        async with asyncio.timeout(1):
            await bell.wait("45", "b", heard[1], 60)
            await bell.wait("45", "c", heard[2], 60)

    asyncio.run(story())


def test_nobody_waits_longer_than_asked() -> None:
    async def story() -> None:
        async with asyncio.timeout(1):
            await Bell().wait("45", "a", 0, 0.01)

    asyncio.run(story())


def test_a_cancellation_that_comes_with_a_ring_is_not_lost() -> None:
    async def story() -> None:
        bell = Bell()
        waiting = asyncio.create_task(bell.wait("45", "a", 0, 60))
        await asyncio.sleep(0)
        bell.ring("45", "a")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(story())

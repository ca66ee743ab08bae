"""The socket between the supervisor and a worker: questions both ways, errors that come back as themselves, ends that are gone."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable

import pytest

from roadworthy.core import errors
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.open_messages import OpenVersion
from roadworthy.serving.workers.ipc import Body, Channel, ChannelClosed, DiscardVersion, Done, Drain, ErrorReply, GetCounters, raised
from support.waiting import HANG_SECONDS

Answer = Callable[[Body], Awaitable[Body]]


async def silence(body: Body) -> Body:
    raise AssertionError(f"no one-way message should arrive {body}")


def talk(left: Answer, right: Answer, body: Callable[[Channel, Channel], Awaitable[None]]) -> None:
    """Run ``body`` with both ends of one socket, each answering by its function."""

    async def main() -> None:
        ends = socket.socketpair()
        channels = Channel(left), Channel(right)
        for channel, end in zip(channels, ends, strict=True):
            end.setblocking(False)
            await channel.open(end)
        serving = [asyncio.create_task(channel.serve()) for channel in channels]
        async with asyncio.timeout(HANG_SECONDS):
            await body(*channels)
            for channel in channels:
                channel.close()
            await asyncio.gather(*serving)

    asyncio.run(main())


def test_both_ends_send_requests_and_replies() -> None:
    async def left(body: Body) -> Body:
        assert body == DiscardVersion("a", "1")
        return Done()

    async def right(body: Body) -> Body:
        assert body == GetCounters()
        return Counters(answered={("oip", "a", "200"): 3})

    async def body(here: Channel, there: Channel) -> None:
        counted = await here.ask(GetCounters())
        assert isinstance(counted, Counters) and counted.answered == {("oip", "a", "200"): 3}
        assert await there.ask(DiscardVersion("a", "1")) == Done()

    talk(left, right, body)


def test_concurrent_requests_get_their_own_replies() -> None:
    async def right(body: Body) -> Body:
        assert isinstance(body, DiscardVersion)
        # The first comes back last.
        await asyncio.sleep((200 - int(body.version)) / 2000)
        return ErrorReply("BundleError", body.version) if int(body.version) % 2 else OpenVersion(name="a", version=body.version, path="")

    async def body(here: Channel, there: Channel) -> None:
        answers = await asyncio.gather(*(here.ask(DiscardVersion("a", str(number))) for number in range(200)), return_exceptions=True)
        for number, answer in enumerate(answers):
            if number % 2:
                assert isinstance(answer, errors.BundleError) and answer.message == str(number)
            else:
                assert isinstance(answer, OpenVersion) and answer.version == str(number)

    talk(silence, right, body)


ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.RoadworthyError)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_our_errors_are_raised_at_the_other_end(kind: type[errors.RoadworthyError]) -> None:
    async def right(body: Body) -> Body:
        raise kind("it is so")

    async def body(here: Channel, there: Channel) -> None:
        with pytest.raises(errors.RoadworthyError, match="it is so") as caught:
            await here.ask(GetCounters())
        assert type(caught.value) is kind

    talk(silence, right, body)


def test_the_time_to_retry_comes_back_with_the_error() -> None:
    async def right(body: Body) -> Body:
        raise errors.Unavailable("later", after=7.5)

    async def body(here: Channel, there: Channel) -> None:
        with pytest.raises(errors.Unavailable) as caught:
            await here.ask(GetCounters())
        assert caught.value.after == 7.5

    talk(silence, right, body)


def test_an_error_unknown_to_the_other_end_comes_back_as_its_nearest_base_class() -> None:
    async def right(body: Body) -> Body:
        raise ChannelClosed("a third one ended")

    async def body(here: Channel, there: Channel) -> None:
        with pytest.raises(errors.Unavailable, match="a third one ended") as caught:
            await here.ask(GetCounters())
        assert type(caught.value) is errors.Unavailable, "the other end is there"

    talk(silence, right, body)


def test_a_foreign_error_is_one_sentence_there_and_a_traceback_here(caplog: pytest.LogCaptureFixture) -> None:
    async def right(body: Body) -> Body:
        raise ZeroDivisionError("a secret")

    async def body(here: Channel, there: Channel) -> None:
        with pytest.raises(errors.StepFailed) as caught:
            await here.ask(GetCounters())
        assert "ZeroDivisionError" in caught.value.message and "secret" not in caught.value.message

    with caplog.at_level(logging.ERROR, "roadworthy"):
        talk(silence, right, body)
    assert caplog.records[0].exc_info


@pytest.mark.parametrize("kind", ["annotations", "ClassVar", "__name__", "__builtins__", "inspect", "", "Exception", "raised"])
def test_only_our_errors_are_made_from_a_name(kind: str) -> None:
    problem = raised(ErrorReply(kind, "words", after=2.0))
    assert type(problem) is errors.RoadworthyError and problem.message == "words"


def test_pending_requests_fail_when_the_other_end_closes() -> None:
    async def right(body: Body) -> Body:
        await asyncio.Event().wait()
        return Done()

    async def body(here: Channel, there: Channel) -> None:
        asked = [asyncio.create_task(here.ask(GetCounters())) for _ in range(20)]
        await asyncio.sleep(0.05)
        there.close()
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(answer, ChannelClosed)
        with pytest.raises(ChannelClosed):
            await here.ask(GetCounters())

    talk(silence, right, body)


def test_nothing_can_be_sent_before_the_channel_is_open() -> None:
    with pytest.raises(ChannelClosed):
        asyncio.run(Channel(silence).ask(Drain()))


def test_a_cancelled_request_does_not_disturb_the_others() -> None:
    finished: list[str] = []

    async def right(body: Body) -> Body:
        assert isinstance(body, DiscardVersion)
        await asyncio.sleep(0.1)
        finished.append(body.version)
        return Done()

    async def body(here: Channel, there: Channel) -> None:
        leaves = asyncio.create_task(here.ask(DiscardVersion("a", "1")))
        await asyncio.sleep(0.02)
        leaves.cancel()
        assert await here.ask(DiscardVersion("a", "2")) == Done()
        assert finished == ["1", "2"], "what was asked is done"

    talk(silence, right, body)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xde\xad\xbe\xef" * 16,
        b"\xff" * 9,
        b"\x03\0\0\0\x01\0\0\0\0abc",
        b"\x02\0\0\0\x01\0\0\0\x01\xa1\xff",
        b"\x0c\0\0\0\x01\0\0\0\0\x81\xa4type\xa5Wrong",
        b"\x10\x27\0\0\x01\0\0\0\0" + b"\x91" * 10_000,
    ],
    ids=["noise", "endless", "no body", "no text", "no such body", "deep"],
)
def test_garbage_closes_the_channel(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        channel = Channel(silence)
        await channel.open(ours)
        serving = asyncio.create_task(channel.serve())
        asked = asyncio.create_task(channel.ask(GetCounters()))
        await asyncio.sleep(0)
        with theirs:
            theirs.sendall(garbage)
            async with asyncio.timeout(HANG_SECONDS):
                await serving
                with pytest.raises(ChannelClosed):
                    await asked

    with caplog.at_level(logging.ERROR, "roadworthy"):
        asyncio.run(main())
    assert "cannot be decoded" in caplog.text

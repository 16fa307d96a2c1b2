"""Frames come out as they went in, wherever the network cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.wire.frames import FRAME_BYTES_MAX, BrokenFrames, Frame, FrameReader, Kind, encoded

frames = st.lists(
    st.builds(Frame, st.sampled_from(Kind), st.integers(0, 2**64 - 1), st.binary(max_size=200)),
    max_size=10,
)


@given(frames, st.integers(1, 50))
def test_frames_survive_any_cut(sent: list[Frame], chunk_bytes: int) -> None:
    stream = b"".join(encoded(*frame) for frame in sent)
    reader = FrameReader()
    chunks = [stream[at : at + chunk_bytes] for at in range(0, len(stream), chunk_bytes)]
    assert [frame for chunk in chunks for frame in reader.feed(chunk)] == sent


def test_an_unknown_kind_is_no_frame() -> None:
    stream = bytearray(encoded(Kind.CALL, 1, b"payload"))
    stream[4] = max(Kind) + 1
    with pytest.raises(BrokenFrames, match="kind 4"):
        list(FrameReader().feed(bytes(stream)))


def test_a_frame_beyond_the_limit_is_refused_before_it_is_held_in_memory() -> None:
    head = bytearray(encoded(Kind.CALL, 1))
    head[:4] = (FRAME_BYTES_MAX + 1).to_bytes(4, "big")
    with pytest.raises(BrokenFrames, match=str(FRAME_BYTES_MAX + 1)):
        list(FrameReader().feed(bytes(head)))
    head[:4] = FRAME_BYTES_MAX.to_bytes(4, "big")
    assert list(FrameReader().feed(bytes(head))) == []

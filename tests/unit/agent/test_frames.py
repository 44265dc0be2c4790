import pytest

from sirdar.agent.frames import Decoder, FrameError, encode


def by_characters(text: str) -> bytes:
    """As the known clients send it."""
    return len(text).to_bytes(4, "big") + text.encode()


TEXTS = ["hello", "привет, мир", "", "VAR_SET x 5", "€ and 𝄞", "ñ"]


@pytest.mark.parametrize("frame", [encode, by_characters])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_both_ways_of_counting_in_pieces_of_any_size(frame, size: int) -> None:
    raw = b"".join(frame(text) for text in [*TEXTS, "end"])
    decoder = Decoder()
    texts = [text for at in range(0, len(raw), size) for text in decoder.feed(raw[at : at + size])]
    texts += decoder.rest()
    assert texts == [*TEXTS, "end"]


@pytest.mark.parametrize("text", [text for text in TEXTS if not text.isascii()])
def test_a_last_message_counted_in_characters(text: str) -> None:
    decoder = Decoder()
    texts = decoder.feed(by_characters(text)) or decoder.rest()
    assert texts == [text]
    assert not decoder.undecided


def test_an_impossible_length_is_an_error() -> None:
    with pytest.raises(FrameError, match="at most 1048576"):
        Decoder().feed(b"GET / HTTP/1.1\r\n")

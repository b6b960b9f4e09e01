"""Examinations as they are kept."""

from __future__ import annotations

import pytest

from omakase.core.errors import Corrupt
from omakase.core.examination import Examination
from omakase.counts import is_model
from omakase.examination import decode_examination, encode_examination, examination_key


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1, true]", b'["1"]', b"[]", b"[0.9]", b"[1, 0]", b"[1, NaN]", b"[" * 10_000]
)
def test_bytes_that_are_no_examination_are_refused(body: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_examination(body)


def test_an_examination_survives_its_encoding_under_a_key_that_is_no_model_s() -> None:
    examination = Examination((1.0, 0.625, 0.35))
    assert decode_examination(encode_examination(examination)) == examination
    assert not is_model(examination_key("home"))

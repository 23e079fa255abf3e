"""How often the characters of an image are read. The tests count and do not measure time, so all machines agree."""

from __future__ import annotations

import base64

from support.counting import Counted
from support.images import png_header
from support.wires import Wire, every_wire

PAYLOAD = base64.b64encode(png_header(100, 100) + bytes(3_000_000)).decode()


@every_wire
def test_the_key_of_an_image_takes_one_pass(wire: Wire) -> None:
    counted = Counted(wire.text(PAYLOAD))
    [found] = wire.wire_format.find(wire.body(counted)).images
    assert found.source is not None
    assert found.source.first_flaw is None
    assert len(found.source.digest) == 64
    assert counted.passes == []
    assert counted.searches == 0
    assert counted.sliced < 1.01 * len(counted)
    assert found.source.is_whole  # is asked of an image that is not remembered, and takes a second pass
    assert counted.passes == []
    assert counted.sliced < 2.02 * len(counted)

"""A line that cannot be written is counted; all others arrive."""

from __future__ import annotations

import io

from services.kernel.log_stream import LogStream


class _FullFile(io.StringIO):
    """Takes a line only while it has room."""

    has_room = True

    def write(self, text: str, /) -> int:
        if not self.has_room:
            raise OSError(28, "No space left on device")
        return super().write(text)

    def flush(self) -> None:
        if not self.has_room:
            raise OSError(28, "No space left on device")


def test_what_finds_no_room_is_lost_and_the_next_line_arrives() -> None:
    file, lost = _FullFile(), []
    stream = LogStream(file, lambda: lost.append(1))
    print("first", file=stream, flush=True)
    file.has_room = False
    assert stream.write("second") == 6
    stream.flush()
    file.has_room = True
    print("third", file=stream, flush=True)
    assert file.getvalue() == "first\nthird\n"
    assert len(lost) == 2
    assert not stream.isatty()

"""Reading a UTF-8 file line by line, knowing the line where it is not UTF-8."""

from collections.abc import Iterable, Iterator


class NotUtf8(ValueError):
    """A line is not UTF-8.

    Attributes:
        line: counted from 1.
        problem: what to say of it.
    """

    def __init__(self, line: int, byte: int) -> None:
        self.line = line
        self.problem = f"not UTF-8 at byte {byte}"
        super().__init__(f"line {line}: {self.problem}")


def decoded(lines: Iterable[bytes]) -> Iterator[str]:
    """Decode lines one by one, passing over a byte order mark at the start.

    A file opened as text is decoded in blocks, and does not know in which line it failed.

    Raises:
        NotUtf8: with the line's number.
    """
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise NotUtf8(number, error.start + 1) from error

"""The one place that opens files of users, within bounds.

Every reader returns the content of the file or raises ConfigError. A reader waits for no device and
no pipe. It reads no more than its bound, whatever size the file claims.
"""

from __future__ import annotations

import lzma
import os
import stat
import zlib
from pathlib import Path
from typing import Final

from mmusim.base.errors import ConfigError

MOST_TEXT: Final = 64 << 20
"""Bytes of a file of measurements or of cases."""
MOST_PACKED: Final = 256 << 20
"""Bytes of a packed file: a trace, samples."""
_XZ_MEMORY: Final = 256 << 20
"""Bytes that a decoder may use. ``xz -9`` needs 65 MiB; a header may ask for 4 GiB."""

_KINDS: Final = (
    (stat.S_ISDIR, "a folder", "name a file in it"),
    (stat.S_ISFIFO, "a pipe", "write it to a file first"),
    (stat.S_ISSOCK, "a socket", "write it to a file first"),
    (stat.S_ISCHR, "a device", "write it to a file first"),
    (stat.S_ISBLK, "a device", "write it to a file first"),
)
_ENCODINGS: Final = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_PACKED: Final = (
    (b"\x1f\x8b", "gzip"), (b"\xfd7zXZ", "xz"), (b"BZh", "bzip2"), (b"PK\x03\x04", "zip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)  # fmt: skip

_UNPACK: Final = {"zip": "unpack it first; save a spreadsheet (.xlsx, .ods) as CSV"}


def unreadable(path: str | Path, rule: str, remedy: str) -> ConfigError:
    """Return the complaint about a file as a whole."""
    return ConfigError.of(str(path), "file", None, rule, remedy)


def _check_kind(path: str | Path, mode: int) -> None:
    for is_kind, kind, remedy in _KINDS:
        if is_kind(mode):
            raise unreadable(path, f"is {kind} and no regular file", remedy)


def read_bytes(path: str | Path, most: int = MOST_PACKED) -> bytes:
    """Read a regular file of at most `most` bytes.

    Raises
    ------
    ConfigError
        If the path names no regular file, the file cannot be read, or it is larger.
    """
    try:
        # O_NONBLOCK: opening a pipe without a writer would wait for ever.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:  # ValueError: a NUL or a lone surrogate in the path
        reason = getattr(error, "strerror", None) or str(error)
        rule = f"cannot be read ({reason})"
        raise unreadable(path, rule, "check path and permissions") from None
    try:
        _check_kind(path, os.fstat(fd).st_mode)
        parts, size = [], 0
        while part := os.read(fd, min(1 << 24, most + 1 - size)):  # a file may grow meanwhile
            parts.append(part)
            size += len(part)
    except OSError as error:
        rule = f"cannot be read ({error.strerror})"
        raise unreadable(path, rule, "check path and permissions") from None
    finally:
        os.close(fd)
    if size > most:
        rule = f"is larger than {most:,} bytes, the most that is read"
        raise unreadable(path, rule, "give a smaller file")
    return b"".join(parts)


def read_text(path: str | Path, most: int = MOST_TEXT) -> str:
    """Read a text file in UTF-8, with or without a byte order mark. Line ends become LF.

    Raises
    ------
    ConfigError
        As :func:`read_bytes`. Also if the text is not UTF-8, or has a NUL character.
    """
    data = read_bytes(path, most)
    for mark, packer in _PACKED:
        if data.startswith(mark):
            raise unreadable(
                path, f"is packed with {packer}", _UNPACK.get(packer, "unpack it first")
            )
    for mark, name in _ENCODINGS:
        if data.startswith(mark):
            raise unreadable(path, f"is {name} and not UTF-8", "save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        rule = f"is not UTF-8 (byte 0x{data[error.start]:02x} in line {line})"
        raise unreadable(path, rule, "save it as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise unreadable(path, f"is not text (a NUL character in line {line})", "give a text file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_gzip_text(path: str | Path, most: int = MOST_TEXT) -> str:
    """Read a text in UTF-8 that is packed with gzip and unpacks to at most `most` bytes.

    Raises
    ------
    ConfigError
        As :func:`read_bytes`. Also if the file is not gzip, is damaged, unpacks to more, or holds
        no text.
    """
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        data = decoder.decompress(read_bytes(path, most), most + 1)
        text = data.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        rule = f"is not a gzip file of text, or damaged ({error})"
        raise unreadable(path, rule, "copy or record it again") from None
    if len(data) > most:
        rule = f"unpacks to more than {most:,} bytes, the most that is read"
        raise unreadable(path, rule, "give a smaller file")
    if not decoder.eof:
        raise unreadable(path, "is cut short", "copy or record it again")
    return text


class XzReader:
    """An .xz file that is unpacked on demand.

    A few bytes can unpack to gigabytes. So this class unpacks no more than the caller asks for.
    """

    def __init__(self, path: str | Path, most: int = MOST_PACKED) -> None:
        """Open `path`.

        Raises
        ------
        ConfigError
            As :func:`read_bytes`.
        """
        self._path = path
        self._packed = read_bytes(path, most)
        self.is_xz = self._packed.startswith(b"\xfd7zXZ\0")
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        self._ready = b""
        self._started = False

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes; fewer where the stream ends.

        Raises
        ------
        ConfigError
            If the file is not .xz, is cut short or is damaged.
        """
        parts = [self._ready[:size]]
        self._ready = self._ready[size:]
        lacks = size - len(parts[0])
        while lacks > 0 and not self._decoder.eof:
            part = self._unpack(lacks)
            if not part and self._decoder.needs_input:
                raise self._damaged()
            parts.append(part)
            lacks -= len(part)
        return b"".join(parts)

    def read_line(self, most: int) -> bytes:
        """Return the bytes before the next newline; `most` bytes or fewer where there is none.

        Raises
        ------
        ConfigError
            As :meth:`read`.
        """
        ahead = self.read(most)
        line, newline, rest = ahead.partition(b"\n")
        self._ready = rest + self._ready if newline else self._ready
        return line

    def at_end(self) -> bool:
        """Tell whether the stream ends here.

        Raises
        ------
        ConfigError
            As :meth:`read`.
        """
        self._ready = self.read(1) + self._ready
        return not self._ready and not self._decoder.unused_data

    def _unpack(self, most: int) -> bytes:
        fed, self._packed = (b"", self._packed) if self._started else (self._packed, b"")
        self._started = True
        try:
            return self._decoder.decompress(fed, most)
        except (lzma.LZMAError, EOFError) as error:
            if "Memory usage limit" in str(error):
                rule = f"needs more than {_XZ_MEMORY >> 20} MiB to be unpacked"
                raise unreadable(self._path, rule, "pack it with xz -9 or less") from None
            raise self._damaged() from None

    def _damaged(self) -> ConfigError:
        return unreadable(self._path, "is cut short or damaged", "copy or record it again")

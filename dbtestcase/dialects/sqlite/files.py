"""Tells by what other names a file is known, where it is no link itself."""

from __future__ import annotations

import contextlib
import os
import re
from typing import List, Tuple

_MOUNTS = "/proc/self/mountinfo"  # on Linux: https://man7.org/linux/man-pages/man5/proc.5.html


def other_names(path: str) -> Tuple[List[str], int]:
    """Return other names of a file, and how many more it has in folders that nobody knows.

    A file can have several names (hard links), all as true as the other; they are looked for in
    its folder. What is mounted over it, file over file, is found on Linux. A folder that is mounted
    elsewhere is another folder with the same names.

    :param path: the path of the file, without symbolic links.
    """
    names = _mounted(path)
    try:
        status = os.stat(path)
        if status.st_nlink < 2:
            return names, 0
        folder, own = os.path.split(path)
        with os.scandir(folder) as entries:
            linked = [
                entry.name
                for entry in entries
                if entry.name != own
                and entry.inode() == status.st_ino
                and os.path.samestat(entry.stat(follow_symlinks=False), status)
            ]
    except OSError:  # it is not there yet, or the folder may not be read
        return names, 0 if not os.path.exists(path) else 1
    return names + sorted(linked), status.st_nlink - 1 - len(linked)


def _mounted(path: str) -> List[str]:
    """Return the name of the file that is mounted as this one, unless it is the same."""
    names = []
    with contextlib.suppress(OSError), open(_MOUNTS, encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            root, point = [_unescaped(each) for each in line.split(" ")[3:5]]
            if point == path and os.path.basename(root) != os.path.basename(path):
                names.append(os.path.basename(root))
    return names


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)

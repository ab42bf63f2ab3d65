"""Whether a file is on a network file system, where it can be told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ceph", "glusterfs", "fuse.sshfs"}
)
_MOUNTS: Final = Path("/proc/self/mountinfo")


def network_file_system(path: str, mounts: Path = _MOUNTS) -> str | None:
    """Name the network file system that holds a file; None for a local one, or an unknown."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None  # no Linux: it cannot be told
    folder = os.path.realpath(path)
    best = ("", "")
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(" "), right.split(" ")
        point = fields[4].replace("\\040", " ") if len(fields) > 4 else ""  # noqa: PLR2004  # proc(5)
        inside = point and (folder == point or folder.startswith(point.rstrip("/") + "/"))
        if inside and len(point) >= len(best[0]):
            best = (point, kinds[0])
    return best[1] if best[1] in _NETWORK else None

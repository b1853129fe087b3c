"""A disk that can be filled and emptied, for a process of a test's own."""

import contextlib
import ctypes
import os
import pathlib
import resource

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
_PRIVATE, _RECURSIVE = 1 << 18, 1 << 14


class SmallDisk:
    """A tmpfs of 16 MiB over a folder, seen by this process alone.

    To be made before threads are. Where the kernel allows no mounts, a limit on the
    size of files stands for it: writes then fail as on a full disk (EFBIG for ENOSPC).

    Args:
      folder: path of an empty folder.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.is_real = self._mount()

    def fill(self):
        """No byte more can be written."""
        if not self.is_real:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            return
        with contextlib.suppress(OSError), open(self._filler, "wb", 0) as file:
            while True:
                file.write(bytes(4096))

    def free(self):
        """There is space again."""
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        self._filler.unlink(missing_ok=True)

    @property
    def _filler(self):
        return self.folder / "filler"

    def _mount(self):
        libc = ctypes.CDLL(None, use_errno=True)
        user, group = os.getuid(), os.getgid()
        if user == 0:
            if libc.unshare(_NEW_MOUNTS) != 0:
                return False
        else:
            if libc.unshare(_NEW_MOUNTS | _NEW_USER) != 0:
                return False
            with contextlib.suppress(OSError):
                pathlib.Path("/proc/self/setgroups").write_text("deny")
                pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
                pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        private = libc.mount(None, b"/", None, _PRIVATE | _RECURSIVE, None)
        return (
            private == 0
            and libc.mount(b"tmpfs", os.fsencode(self.folder), b"tmpfs", 0, b"size=16m")
            == 0
        )

"""What the C library's allocator keeps of freed memory goes back to the system."""

import ctypes
import sys


def return_free_memory() -> bool:
    """Return freed memory to the system; false where the C library can't be asked to.

    glibc keeps what is freed between two live blocks, and holes of many sizes come to some tens of
    megabytes over a chromosome's pieces. ``malloc_trim`` returns their pages (malloc_trim(3)); that
    takes milliseconds. Other C libraries have no such call.
    """
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(ctypes.c_size_t(0))
    return True

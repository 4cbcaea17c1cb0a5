"""Network: how many bytes went in and out of the machine, by the system's counters."""

from __future__ import annotations

LOOPBACK = ("lo", "Loopback")
"""Names that loopback interfaces begin with on Linux, macOS (lo0) and Windows."""


def transferred_bytes() -> int | None:
    """Bytes sent and received since the machine started, over all interfaces but loopback.

    They are the machine's, not one process's: no system counts them by process. None where the
    system does not say.
    """
    import psutil

    try:
        counters = psutil.net_io_counters(pernic=True)
    except (psutil.Error, OSError, RuntimeError):
        return None
    return sum(
        found.bytes_sent + found.bytes_recv
        for name, found in counters.items()
        if not name.startswith(LOOPBACK)
    )

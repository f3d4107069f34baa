"""A process that reads everything in some files with Astropy, in bounded memory: `python astropy_child.py FILE…`.

One JSON line before each file and one after it, so that who started it knows which file ended it.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import warnings

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

MEMORY = 3 << 30  # bytes of address space
SECONDS = 10  # for one file


def read_all(path: str) -> int:
    """Headers, pixels, all columns and coordinates; the number of bytes that came of them."""
    size = 0
    with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
        for hdu in hdus:
            for card in hdu.header.cards:
                card.verify("silentfix+ignore")
            if isinstance(hdu.data, np.ndarray) and hdu.data.dtype.names:
                for name in hdu.columns.names:
                    size += sum(np.asarray(value).nbytes for value in hdu.data[name])
            elif hdu.data is not None:
                size += np.asarray(hdu.data).nbytes
            if hdu.is_image and hdu.data is not None:
                WCS(hdu.header, naxis=2).all_pix2world(0.0, 0.0, 0)
    return size


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # one that hangs is killed
    for path in sys.argv[1:]:
        say(begun=path)
        signal.alarm(SECONDS)
        try:
            said = read_all(path)
        except Exception as error:
            said = f"{type(error).__name__}: {str(error)[:200]}"
        signal.alarm(0)
        say(ended=path, said=said)

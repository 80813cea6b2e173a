"""`python -m ablations.data.verify CACHE_FOLDER...`: read a cache whole and compare every checksum.

Sizes are compared whenever a cache is opened, checksums when a stopped build goes on, and here. A file that was altered
is deleted: the next command that needs the cache builds it again (of whole images, the one shard).
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ablations.core.files import sha256
from ablations.core.processes import cores
from ablations.core.text import counted
from ablations.data.cache import META


def altered(folder: Path) -> list[str]:
    """Names of the files whose content is not what meta.json says, or that are missing.

    Raises:
        OSError, ValueError: there is no meta.json that can be read.
    """
    expected = json.loads((folder / META).read_text(encoding="utf-8"))["files"]

    def wrong(name: str) -> bool:
        path = folder / name
        return not path.is_file() or sha256(path) != expected[name]["sha256"]

    with ThreadPoolExecutor(cores()) as pool:
        return [name for name, bad in zip(expected, pool.map(wrong, expected), strict=True) if bad]


def main(folders: list[str]) -> int:
    """Verify each folder; exit code 1 when a file was altered, 2 when a folder is no cache."""
    code = 0 if folders else 2
    if not folders:
        print("Which cache? python -m ablations.data.verify cache/NAME-DIGEST", file=sys.stderr)
    for name in folders:
        folder = Path(name)
        try:
            bad = altered(folder)
        except (OSError, ValueError, KeyError):
            print(f"error: {folder} is not a finished cache: {META} cannot be read.", file=sys.stderr)
            code = 2
            continue
        for file in bad:
            (folder / file).unlink(missing_ok=True)
            print(f"{folder / file} was altered, and is deleted: the same command as before builds it again.")
        print(f"{folder}: {counted(len(bad), 'file')} altered." if bad else f"{folder}: every checksum holds.")
        code = max(code, int(bool(bad)))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

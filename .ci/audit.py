"""Look up known vulnerabilities of every package that a lock file pins, with pip-audit.

pip-audit has an environment of its own, in .cache/audit, since nothing else needs its packages. The vulnerabilities are
those that the Python index publishes; where they cannot be had, nothing was checked, and this fails.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "audit"
PINNED = ROOT / "requirements-audit.lock"
AUDITED = ("requirements.lock", "requirements-demo.lock", "requirements-azure.lock", "requirements-audit.lock")


def install() -> None:
    """Make the environment of pip-audit, unless it is there as the lock file pins it."""
    stamp, digest = FOLDER / "stamp", hashlib.sha256(PINNED.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    venv.create(FOLDER, clear=True, with_pip=True)
    command = [FOLDER / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "-r", PINNED], check=True)
    stamp.write_text(digest)


def main() -> int:
    """Audit each lock file; return 1 if a package has a vulnerability, or could not be looked up."""
    install()
    failed = []
    for name in AUDITED:
        # --strict: a package that could not be looked up is a failure, not a line in a table.
        command = [FOLDER / "bin" / "pip-audit", "--strict", "--disable-pip", "--require-hashes"]
        command += ["--progress-spinner", "off", "-r", ROOT / name]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"Not clean, or not checked: {', '.join(failed)}. The lines above say which.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

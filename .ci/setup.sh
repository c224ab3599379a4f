#!/bin/sh
# Makes the environment .venv that every target of the Makefile uses, or does nothing when it is up to date.
#
# Needs: Python 3.11 to 3.14 with venv, and a package index the first time. A stamp in .venv, keyed by the
# lock file, the packages' metadata and this folder's path, makes later runs quick and possible offline.
# PYTHON=/path/to/python3.12 chooses the interpreter. With the word `azure`, what requirements-azure.lock adds comes too.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/dstream-stamp
key="$(pwd) $(cat requirements.lock pyproject.toml providers/*/pyproject.toml | cksum)"

# $1: the lock file. Hashes are checked; nothing is installed that it does not name.
install_locked() {
    .venv/bin/python -m pip install --quiet --no-deps --require-hashes -r "$1" || failed "$1"
}

failed() {
    echo "The packages of $1 could not be installed; the lines above say why. The first time needs a package index." >&2
    exit 1
}

# Whatever the user has configured for pip (an index, a proxy, certificates) stays in force, except what
# would install somewhere else than .venv.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT
PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_USER PIP_DISABLE_PIP_VERSION_CHECK

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ] && .venv/bin/python -c '' 2>/dev/null; then
    if [ "${1:-}" = azure ]; then
        large=$(cksum <requirements-azure.lock)
        if [ "$(cat "$stamp-azure" 2>/dev/null)" != "$large" ]; then
            echo "Installing pulumi-azure-native for the tests: the first time takes about a minute."
            PIP_NO_COMPILE=1 install_locked requirements-azure.lock
            echo "$large" >"$stamp-azure"
        fi
    fi
    exit 0
fi

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'
python=
for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c "$supported" >/dev/null 2>&1; then
        python=$candidate
        break
    elif [ "$candidate" = "${PYTHON:-}" ]; then
        echo "dstream needs Python 3.11 to 3.14, and PYTHON=$PYTHON is not one that runs." >&2
        exit 1
    fi
done
if [ -z "$python" ]; then
    echo "dstream needs Python 3.11 to 3.14, and none was found on the PATH: install one, or name it with 'make PYTHON=/path/to/python3.12 ...'." >&2
    exit 1
fi
if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "Python $version ($python) has no venv module: install it (on Debian and Ubuntu: apt-get install python$version-venv) and try again." >&2
    exit 1
fi

# An environment that was moved, half made, or whose interpreter is gone is made anew.
if [ -d .venv ]; then
    made_for=$(sed 's/ [0-9]* [0-9]*$//' "$stamp" 2>/dev/null || true)
    if [ "$made_for" != "$(pwd)" ] || ! .venv/bin/python -c "$supported" 2>/dev/null; then
        rm -rf .venv
    fi
fi
if [ ! -d .venv ]; then
    echo "Making .venv with $("$python" --version 2>&1): the first time takes about a minute."
    "$python" -m venv .venv
fi
rm -f "$stamp"
# The path is noted at once, so that an interrupted installation is taken up where it stopped.
echo "$(pwd) 0 0" >"$stamp"

install_locked requirements.lock

set -- -e .
for metadata in providers/*/pyproject.toml; do
    set -- "$@" -e "${metadata%/pyproject.toml}"
done
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation "$@" || failed pyproject.toml
echo "$key" >"$stamp"

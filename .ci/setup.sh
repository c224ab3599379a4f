#!/bin/sh
# Makes the environment .venv that every target of the Makefile uses, or does nothing when it is up to date.
#
# Needs: Python 3.11 to 3.14 with venv, and a package index the first time. A stamp in .venv, keyed by the
# lock file, the packages' metadata and this folder's path, makes later runs quick and possible offline.
# PYTHON=/path/to/python3.12 chooses the interpreter. With the word `azure`, what requirements-azure.lock adds comes
# too; with the word `demo`, only what the demo needs, and a later call without it adds the rest.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/dstream-stamp
part=${1:-}
key="$(pwd) $(cat requirements.lock pyproject.toml providers/*/pyproject.toml | cksum)"
lazily=
demo_providers="providers/console providers/counter providers/jsonl providers/postgres providers/sdk"

# $1: the lock file. Hashes are checked; nothing is installed that it does not name.
install_locked() {
    total=0
    while read -r line; do
        case $line in *==*) total=$((total + 1)) ;; esac
    done <"$1"
    echo "Installing up to $total packages of $1 ..."
    install "$1" --no-deps --require-hashes -r "$1"
}

# $1: what is installed, for the message of a failure; then pip's arguments. Shows which package pip is at.
install() {
    what=$1
    shift
    rm -f .venv/pip-failed
    { .venv/bin/python -m pip install --progress-bar off $lazily "$@" || echo failed >.venv/pip-failed; } | progress
    [ ! -e .venv/pip-failed ] || failed "$what"
}

# Reads what pip says: on a terminal one line that is rewritten, elsewhere a line for every 25 packages.
progress() {
    number=0
    while read -r word name _; do
        case $word in
        Collecting | Obtaining | Requirement)
            number=$((number + 1))
            if [ -t 1 ]; then
                printf '\r\033[K  %s  %s' "$number" "$name"
            elif [ $((number % 25)) = 0 ]; then
                echo "  $number packages so far"
            fi
            ;;
        Installing) if [ -t 1 ]; then printf '\r\033[K  %s packages: installing them' "$number"; fi ;;
        esac
    done
    if [ -t 1 ]; then printf '\r\033[K'; fi
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

up_to_date() {
    [ -f "$1" ] && [ "$(cat "$1")" = "$key" ] && .venv/bin/python -c '' 2>/dev/null
}

if up_to_date "$stamp"; then
    if [ "$part" = azure ]; then
        large=$(cksum <requirements-azure.lock)
        if [ "$(cat "$stamp-azure" 2>/dev/null)" != "$large" ]; then
            echo "Installing pulumi-azure-native for the tests: the first time takes about a minute."
            lazily=--no-compile
            install_locked requirements-azure.lock
            echo "$large" >"$stamp-azure"
        fi
    fi
    exit 0
fi
if [ "$part" = demo ] && up_to_date "$stamp-demo"; then
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
# The path is noted at once, so that an interrupted installation is taken up where it stopped.
echo "$(pwd) 0 0" >"$stamp"

if [ "$part" = demo ]; then
    lock=requirements-demo.lock
    packages=$demo_providers
    stamp=$stamp-demo
    # Most of what is installed is never imported by the demo: a module is compiled when it is imported.
    lazily=--no-compile
else
    lock=requirements.lock
    packages=
    for metadata in providers/*/pyproject.toml; do
        packages="$packages ${metadata%/pyproject.toml}"
    done
fi
install_locked "$lock"
set -- -e .
for package in $packages; do
    set -- "$@" -e "$package"
done
echo "Installing dstream and its providers ..."
install pyproject.toml --no-deps --no-build-isolation "$@"
echo "$key" >"$stamp"

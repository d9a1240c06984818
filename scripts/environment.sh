# Sourced by the other scripts: finds a Python and makes a virtual environment once. Needs $root, the folder of the repository.

say() { printf '%s\n' "$*" >&2; }

# Sets $python to the first interpreter that is new enough. PYTHON=/path/to/python chooses one.
find_python() {
    for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.14 python; do
        # The version is asked, not read off the name: a shim may stand for nothing at all.
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            return 0
        elif [ -n "${PYTHON:-}" ]; then
            say "PYTHON=$PYTHON is no Python 3.11 or newer."
            return 1
        fi
    done
    say "upres needs Python 3.11 or newer; found neither python3 nor python3.11 to python3.14 that is."
    say "Install one (Debian 12 or newer, Ubuntu 24.04 or newer: sudo apt install python3 python3-venv; macOS: brew install python),"
    say "or name one: PYTHON=/path/to/python3.12 $0"
    return 1
}

# make_environment FOLDER PIP-ARGUMENT...: makes FOLDER, or leaves it alone if the same was installed there before.
make_environment() {
    make_environment_over "" "$@"
}

# make_environment_over BASE FOLDER PIP-ARGUMENT...: the same, with the packages of the environment BASE visible in FOLDER, so that only
# what BASE lacks is installed. An empty BASE is none.
make_environment_over() {
    base=$1
    venv=$2
    shift 2
    stamp=$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)" $*"
    if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/installed" 2>/dev/null)" = "$stamp" ]; then
        return 0
    fi
    if [ -n "$base" ]; then
        python=$base/bin/python # of the same version as the packages
    else
        find_python || return 1
    fi
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        say "$python has no venv module. On Debian and Ubuntu it is a package of its own: sudo apt install $package"
        return 1
    fi
    say "making $venv (once)"
    rm -f "$venv/installed"
    "$python" -m venv --clear "$venv" || return 1
    if [ -n "$base" ]; then
        visible=$("$base/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return 1
        own=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return 1
        echo "import site; site.addsitedir('$visible')" >"$own/base.pth"
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" "$@" || return 1
    printf '%s' "$stamp" >"$venv/installed" # last, so that an interrupted installation is begun again
}

# Sourced by scripts that get a program for some of the tests from Debian's package index. Needs `say`.

# apt_install TESTS NAME PACKAGE...: installs the packages as root; anyone else is told the command. Non-zero, with the reason and with
# which tests will be skipped, where they cannot be had. NAME is what another system's package manager may call them.
apt_install() {
    skipped="TESTS $1 WILL BE SKIPPED"
    name=$2
    shift 2
    if ! command -v apt-get >/dev/null 2>&1; then
        say "no apt-get here: install $name with this system's own package manager. $skipped."
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        say "$skipped until you run: sudo apt install $*"
        return 1
    fi
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    # What is known of packages may do; it is renewed where it does not. A machine without a network must not wait for long.
    patience="-o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o DPkg::Lock::Timeout=60"
    # shellcheck disable=SC2086
    if ! apt-get $patience install -y -qq --no-install-recommends "$@" >/dev/null 2>&1; then
        apt-get $patience update -qq >&2 || say "apt-get update failed; trying with what is known"
        if ! apt-get $patience install -y -qq --no-install-recommends "$@" >&2; then
            say "apt-get could not install $* (see above). $skipped."
            return 1
        fi
    fi
}

# SPDX-License-Identifier: Apache-2.0
# Sourced by dev and the benchmarks: messages, and the installation of Debian packages.

say() { printf '%s\n' "$*" >&2; }
die() { say "dev: $*"; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# need PACKAGE ...: installs those that are missing.
need() {
	local missing="" package
	for package in "$@"; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
	done
	[ -z "$missing" ] && return
	say "dev: installing$missing"
	as_root apt-get -q update >/dev/null || die "apt-get update failed"
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing >/dev/null ||
		die "apt-get could not install$missing"
}

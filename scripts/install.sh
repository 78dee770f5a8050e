#!/bin/sh
# Installs the Debian packages that neutrino, its lab and its tests need, and those that it is told, and says which.
# The last two lines of Python packages are what cloud-init imports: a test runs its code without installing it.
set -eu
packages="openvswitch-switch dnsmasq-base iptables ipset conntrack iproute2 kmod procps util-linux
	busybox-static qemu-system-x86 cpio xz-utils tcpdump isc-dhcp-client iputils-ping iperf3 netcat-openbsd ethtool
	python3-openstackclient python3-neutronclient
	python3-configobj python3-jinja2 python3-jsonpatch python3-jsonschema python3-netifaces python3-oauthlib
	python3-requests python3-serial python3-yaml $*"
missing=
for p in $packages; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
# The lab downloads its virtual machines' kernel; for that the package lists have to be there.
if [ -z "$missing" ]; then
	if [ "$(id -u)" = 0 ] && ! apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1; then
		echo "reading the package lists"
		apt-get update -qq
	fi
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "missing packages:$missing" >&2
	echo "install them as root: sudo scripts/install.sh" >&2
	exit 1
fi
echo "installing:$missing"
apt-get update -qq
# What the packages would start with the machine from now on is found by the links that they make.
links() { find /etc/systemd/system -type l 2>/dev/null | sort; }
before=$(links)
# The services of these packages are not wanted on this machine: the lab starts its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' > "$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT INT TERM
fi
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends $missing
links | while read -r link; do
	printf '%s\n' "$before" | grep -qxF "$link" || rm -f "$link"
done

#!/bin/sh
# Builds Terraform and the acceptance tests of its OpenStack provider into a directory, from the Go module proxy: the
# first time takes minutes. Neither is in neutrino's own go.mod; both are built in the module graph that they were
# released with, which is held by the checksum database.
# 1.5.7 is the last Terraform under the MPL.
set -eu
go=${GO:-go}
to=$1
terraform=github.com/hashicorp/terraform@v1.5.7
provider=github.com/terraform-provider-openstack/terraform-provider-openstack/v3@v3.4.0
stamp="$terraform $provider 3"
[ "$(cat "$to/stamp" 2>/dev/null)" = "$stamp" ] && exit 0

echo "building $terraform and the tests of $provider"
mkdir -p "$to"
to=$(cd "$to" && pwd)
GOBIN=$to "$go" install -trimpath -ldflags '-s -w' "$terraform"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cd "$work"
dir=$("$go" mod download -json "$provider" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
cp -r "$dir" provider
chmod -R u+w provider
cd provider
# Its ports have DHCP options called optionA to optionE. Neutron stores such names, and dnsmasq then serves nobody on
# the network; neutrino refuses them. The same tests, with options that there are:
sed -i 's/\boptionA\b/tftp-server/g; s/\boptionB\b/bootfile-name/g; s/\boptionC\b/domain-name/g
	s/\boptionD\b/nis-domain/g; s/\boptionE\b/root-path/g' openstack/*_networking_port_v2_test.go
# The SDK panics under TF_ACC where a resource sets what its schema does not have, and this one sets its id.
sed -i '/d\.Set("id", pf\.ID)/d' openstack/resource_openstack_networking_portforwarding_v2.go
# And its test, which upstream seems to run nowhere, looks for its interface by a name that the configuration does not have.
sed -i 's/_router_interface_v2\.int_1"/_router_interface_v2.router_interface_1"/' \
	openstack/resource_openstack_networking_portforwarding_v2_test.go
"$go" test -trimpath -ldflags '-s -w' -c -o "$to/provider.test" ./openstack
echo "$stamp" > "$to/stamp"

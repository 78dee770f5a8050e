package metadata

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"neutrino"
)

// ec2Versions are the versions of the EC2 format, as Nova lists them.
var ec2Versions = [...]string{"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
	"2008-09-01", "2009-04-04", latest}

const latest = "latest"

// ec2Tree is the EC2 format. All that a list names can be read: cloud-init
// reads every name.
func ec2Tree(i Instance) tree {
	const root = "meta-data/"
	t := tree{
		root + "instance-id": text(i.id()), root + "hostname": text(i.hostname()), root + "local-hostname": text(i.hostname()),
		root + "public-hostname": text(i.hostname()), root + "ami-launch-index": text("0"), root + "instance-action": text("none"),
	}
	if i.FixedIPv4.IsValid() {
		t[root+"local-ipv4"] = text(i.FixedIPv4.String())
	}
	if i.FloatingIPv4.IsValid() {
		t[root+"public-ipv4"] = text(i.FloatingIPv4.String())
	}
	if len(i.UserData) > 0 {
		t["user-data"] = file{kindData, i.UserData}
	}
	var keys []string
	for n, name := range slices.Sorted(maps.Keys(i.PublicKeys)) {
		keys = append(keys, fmt.Sprintf("%d=%s", n, oneLine(name)))
		t[fmt.Sprintf("%spublic-keys/%d/openssh-key", root, n)] = text(i.PublicKeys[name])
	}
	if len(keys) > 0 {
		t[root+"public-keys/"] = text(strings.Join(keys, "\n"))
	}
	for n, f := range i.Interfaces {
		ec2Interface(t, fmt.Sprintf("%snetwork/interfaces/macs/%s/", root, f.MAC), n, f)
		if f.Port == i.Port {
			t[root+"mac"] = text(f.MAC.String())
		}
	}
	return t
}

// ec2Interface says what a machine of EC2 has: addresses that DHCP gives, in one
// IPv4 subnet. cloud-init asks DHCPv6 where there is a list of IPv6 addresses,
// and boot would wait for an answer to no end where they come otherwise; and it
// sets all IPv4 addresses but the first by hand with the one subnet's prefix.
func ec2Interface(t tree, dir string, number int, f Interface) {
	t[dir+"mac"], t[dir+"device-number"] = text(f.MAC.String()), text(fmt.Sprint(number))
	subnet, has := primary(f)
	if has {
		t[dir+"subnet-ipv4-cidr-block"] = text(subnet.CIDR.String())
	}
	var v4, v6 []string
	for _, a := range f.Addresses {
		switch {
		case a.IP.Is4() && a.Subnet.ID == subnet.ID:
			v4 = append(v4, a.IP.String())
		case a.IP.Is6() && byDHCP(a):
			v6 = append(v6, a.IP.String())
		}
	}
	if len(v4) > 0 {
		t[dir+"local-ipv4s"] = text(strings.Join(v4, "\n"))
	}
	if len(v6) > 0 {
		t[dir+"ipv6s"] = text(strings.Join(v6, "\n"))
	}
}

// primary is the subnet of the first IPv4 address that DHCP gives, or else of the
// first.
func primary(f Interface) (s neutrino.Subnet, has bool) {
	for _, a := range f.Addresses {
		if a.IP.Is4() && byDHCP(a) {
			return a.Subnet, true
		}
		if a.IP.Is4() && !has {
			s, has = a.Subnet, true
		}
	}
	return s, has
}

// oneLine keeps a name on the line that it is listed on.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

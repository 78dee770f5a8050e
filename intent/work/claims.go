package work

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"neutrino"
)

// The claims that more than one feature needs. The list of all claims, with what
// they mean, is in claims.go of package intent.

// MACPrefix begins the claims of the ports of a network.
func MACPrefix(network neutrino.ID) string { return "mac/" + string(network) + "/" }

// ExternalUsePrefix begins the claims of the gateways and floating IPs on an
// external network.
func ExternalUsePrefix(network neutrino.ID) string { return "external-use/" + string(network) + "/" }

// DefaultExternalClaim is the claim of the default external network.
const DefaultExternalClaim = "default-external"

// GroupUserPrefix begins the claims of the ports in a security group.
func GroupUserPrefix(group neutrino.ID) string { return "group-user/" + string(group) + "/" }

// PoolPrefixes begins the claims of the prefixes that are cut from a subnet pool.
func PoolPrefixes(pool neutrino.ID) string { return "pool-prefix/" + string(pool) + "/" }

// PoolPrefixClaim is the claim of one of them. What follows [PoolPrefixes] are
// the bits of the prefix as digits, so that everything inside of it begins with
// [PoolInside]; the dot at the end sets it apart from that.
func PoolPrefixClaim(pool neutrino.ID, p netip.Prefix) string { return PoolInside(pool, p) + "." }

// PoolInside begins the claims of a prefix and of all prefixes inside of it.
func PoolInside(pool neutrino.ID, p netip.Prefix) string {
	var b strings.Builder
	b.WriteString(PoolPrefixes(pool))
	for i, octets := 0, p.Addr().AsSlice(); i < p.Bits(); i++ {
		b.WriteByte('0' + octets[i/8]>>(7-i%8)&1)
	}
	return b.String()
}

// PoolUsers begins the claims of what a project has from a subnet pool.
func PoolUsers(pool neutrino.ID, project string) string {
	return "pool-user/" + string(pool) + "/" + url.PathEscape(project) + "/"
}

// PoolUserClaim is the claim of one subnet of the project's from the pool.
func PoolUserClaim(pool neutrino.ID, s *neutrino.Subnet) string {
	return PoolUsers(pool, s.ProjectID) + string(s.ID)
}

// DefaultPoolClaim is the claim of the default subnet pool of an IP version.
func DefaultPoolClaim(version int) string { return "default-pool/" + strconv.Itoa(version) }

// ScopeMarkClaim is the claim of an address scope's mark in the whole cloud, as
// older versions gave it out.
func ScopeMarkClaim(mark uint16) string { return "scope-mark/" + strconv.Itoa(int(mark)) }

// HostMarkClaim is the claim of an address scope's mark on a host.
func HostMarkClaim(host string, mark uint16) string {
	return "host-mark/" + host + "/" + strconv.Itoa(int(mark))
}

// PresencePrefix begins the claims of the hosts where a network is present.
func PresencePrefix(network neutrino.ID) string { return "presence/" + string(network) + "/" }

// PresenceClaim is the claim of one of them.
func PresenceClaim(network neutrino.ID, host string) string { return PresencePrefix(network) + host }

// VLANClaim is the claim of a local VLAN on a host.
func VLANClaim(host string, vlan uint16) string {
	return "host-vlan/" + host + "/" + strconv.Itoa(int(vlan))
}

// ZoneClaim is the claim of a conntrack zone on a host.
func ZoneClaim(host string, zone uint16) string {
	return "host-zone/" + host + "/" + strconv.Itoa(int(zone))
}

// HostUserPrefix begins the claims of the ports that make a network present on a
// host.
func HostUserPrefix(host string, network neutrino.ID) string {
	return "host-user/" + host + "/" + string(network) + "/"
}

// HostUserClaim is the claim of one of them.
func HostUserClaim(host string, network, port neutrino.ID) string {
	return HostUserPrefix(host, network) + string(port)
}

package intent

import (
	"fmt"
	"net/netip"

	"neutrino"
)

// The claims of this station, all spelled here. A claim is a key that one owner
// only can hold; it is made and released in the transaction that makes and
// releases what it stands for. A prefix that ends in a slash covers all claims
// below it: that none is held there says that nothing uses the parent.
//
//	segment/<type>/<key>                 network  the tunnel key is taken
//	mac/<network>/<mac>                  port     the MAC is taken; every port of the network has one
//	ip/<subnet>/<address>                port     the address is taken; every use of the subnet has one
//	group-user/<group>/<port>            port     the port is in the group
//	default-group/<project>              group    the project's default group
//	dhcp-slot/<network>/<n>              host     the host is one of those that serve the network
//	host-vlan/<host>/<vlan>              network  the local VLAN is taken on the host
//	host-zone/<host>/<zone>              port     the conntrack zone is taken on the host
//	host-user/<host>/<network>/<port>    port     the port makes the network present on the host

func segmentClaim(t neutrino.NetworkType, key int64) string {
	return fmt.Sprintf("segment/%s/%d", t, key)
}

func macPrefix(network neutrino.ID) string { return "mac/" + string(network) + "/" }

func macClaim(network neutrino.ID, m neutrino.MAC) string { return macPrefix(network) + m.String() }

func ipPrefix(subnet neutrino.ID) string { return "ip/" + string(subnet) + "/" }

func ipClaim(subnet neutrino.ID, a netip.Addr) string { return ipPrefix(subnet) + a.String() }

func groupUserPrefix(group neutrino.ID) string { return "group-user/" + string(group) + "/" }

func groupUserClaim(group, port neutrino.ID) string { return groupUserPrefix(group) + string(port) }

func defaultGroupClaim(project string) string { return "default-group/" + project }

func dhcpSlotPrefix(network neutrino.ID) string { return "dhcp-slot/" + string(network) + "/" }

func dhcpSlotClaim(network neutrino.ID, n int) string {
	return fmt.Sprintf("%s%d", dhcpSlotPrefix(network), n)
}

func vlanClaim(host string, vlan uint16) string { return fmt.Sprintf("host-vlan/%s/%d", host, vlan) }

func zoneClaim(host string, zone uint16) string { return fmt.Sprintf("host-zone/%s/%d", host, zone) }

func hostUserPrefix(host string, network neutrino.ID) string {
	return "host-user/" + host + "/" + string(network) + "/"
}

func hostUserClaim(host string, network, port neutrino.ID) string {
	return hostUserPrefix(host, network) + string(port)
}

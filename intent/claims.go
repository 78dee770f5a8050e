package intent

import (
	"fmt"
	"net/netip"

	"neutrino"
	"neutrino/intent/work"
)

// The claims of this station, all spelled here. A claim is a key that one owner
// only can hold; it is made and released in the transaction that makes and
// releases what it stands for. A prefix that ends in a slash covers all claims
// below it: that none is held there says that nothing uses the parent.
//
//	segment/<type>/<key>                 network  the tunnel key is taken
//	segment/vlan/<physical>/<vlan>       network  the VLAN of the physical network is taken
//	segment/flat/<physical>              network  the physical network itself is taken
//	mac/<network>/<mac>                  port     the MAC is taken; every port of the network has one
//	ip/<subnet>/<address>                port     the address is taken; every use of the subnet has one
//	group-user/<group>/<port>            port     the port is in the group
//	default-group/<project>              group    the project's default group
//	dhcp-slot/<network>/<n>              host     the host is one of those that serve the network
//	host-vlan/<host>/<vlan>              network  the local VLAN is taken on the host
//	host-zone/<host>/<zone>              port     the conntrack zone is taken on the host
//	host-user/<host>/<network>/<port>    port     the port makes the network present on the host
//	port-name/<first 10 characters>      port     names of devices and chains are made of these
//	forward-name/<first 8 characters>    forwarding  the same, for its chain
//	external-use/<network>/<port>        port     a gateway or a floating IP uses the external network
//	default-external                     network  it is the default external network
//	port-fip/<port>/<address>/<network>  floating IP  it stands for the port's address on that external network
//	router-use/<router>/<subnet>/<user>  user     a floating IP or a forwarding goes through the router to the subnet
//	pool-prefix/<pool>/<bits>.           subnet   the prefix is cut from the subnet pool; <bits> are its bits as digits
//	pool-user/<pool>/<project>/<subnet>  subnet   the project has the subnet from the pool
//	default-pool/<version>               pool     it is the default subnet pool of the IP version
//	scope-mark/<mark>                    scope    routers mark the address scope's packets with it

// segmentClaim is the claim of the network's segment.
func segmentClaim(n *neutrino.Network) string {
	switch n.NetworkType {
	case neutrino.Flat:
		return fmt.Sprintf("segment/%s/%s", n.NetworkType, n.PhysicalNetwork)
	case neutrino.VLAN:
		return fmt.Sprintf("segment/%s/%s/%d", n.NetworkType, n.PhysicalNetwork, n.SegmentationID)
	}
	return fmt.Sprintf("segment/%s/%d", n.NetworkType, n.SegmentationID)
}

// Names of devices and of a forwarding's chain have room for so much of an ID.
const (
	portNameLength    = 10
	forwardNameLength = 8
)

func externalUsePrefix(network neutrino.ID) string { return work.ExternalUsePrefix(network) }

func externalUseClaim(network, port neutrino.ID) string {
	return externalUsePrefix(network) + string(port)
}

func portFIPPrefix(port neutrino.ID) string { return "port-fip/" + string(port) + "/" }

func portAddressPrefix(port neutrino.ID, a netip.Addr) string {
	return portFIPPrefix(port) + a.String() + "/"
}

func portFIPClaim(port neutrino.ID, a netip.Addr, external neutrino.ID) string {
	return portAddressPrefix(port, a) + string(external)
}

func routerUsePrefix(router neutrino.ID) string { return "router-use/" + string(router) + "/" }

func routerSubnetPrefix(router, subnet neutrino.ID) string {
	return routerUsePrefix(router) + string(subnet) + "/"
}

func routerUseClaim(router, subnet, user neutrino.ID) string {
	return routerSubnetPrefix(router, subnet) + string(user)
}

func macPrefix(network neutrino.ID) string { return work.MACPrefix(network) }

func macClaim(network neutrino.ID, m neutrino.MAC) string { return macPrefix(network) + m.String() }

func ipPrefix(subnet neutrino.ID) string { return "ip/" + string(subnet) + "/" }

func ipClaim(subnet neutrino.ID, a netip.Addr) string { return ipPrefix(subnet) + a.String() }

func groupUserPrefix(group neutrino.ID) string { return work.GroupUserPrefix(group) }

func groupUserClaim(group, port neutrino.ID) string { return groupUserPrefix(group) + string(port) }

func dhcpSlotPrefix(network neutrino.ID) string { return "dhcp-slot/" + string(network) + "/" }

func dhcpSlotClaim(network neutrino.ID, n int) string {
	return fmt.Sprintf("%s%d", dhcpSlotPrefix(network), n)
}

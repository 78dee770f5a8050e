package intent

import (
	"slices"

	"neutrino"
	"neutrino/intent/binding"
	"neutrino/store"
)

// scheduleBatch is how many networks, or routers, one registration, heartbeat
// or failover schedules at most: a transaction has a limit, and the next one
// goes on.
const scheduleBatch = 200

// serveDHCP makes a network's DHCP follow its subnets: while one of them has
// DHCP, the network is on as many live hosts as configured, each with a port
// that has an address of each such subnet. It may be called at any time and
// changes nothing that is right already.
func serveDHCP(tx *Tx, n *neutrino.Network) error {
	var wanted []*neutrino.Subnet
	for _, s := range subnetsOf(tx, n.ID) {
		if s.EnableDHCP {
			wanted = append(wanted, s)
		}
	}
	if len(wanted) == 0 {
		for slot, host := range slots(tx, n.ID) {
			dropDHCP(tx, n.ID, slot, host)
		}
		for p := dhcpPort(tx, n.ID, ""); p != nil; p = dhcpPort(tx, n.ID, "") {
			removePort(tx, p)
		}
		return nil
	}
	for len(slots(tx, n.ID)) < tx.Config.DHCPAgentsPerNetwork {
		a := leastLoaded(tx, n, dhcpHosts(tx))
		if a == nil {
			break // comes with the registration of a host
		}
		assignDHCP(tx, n.ID, a)
	}
	for _, host := range slots(tx, n.ID) {
		if err := serveFrom(tx, n, host, wanted); err != nil {
			return err
		}
	}
	return nil
}

// assignDHCP makes the agent's host one of those that serve the network.
func assignDHCP(tx *Tx, network neutrino.ID, a *neutrino.Agent) {
	store.Exists(tx.Tx, store.Agents, a.ID) // it may not be deleted meanwhile
	for i := 0; !tx.Claim(dhcpSlotClaim(network, i), a.Host); i++ {
		continue // the slot has its host
	}
	store.Put(tx.Tx, store.DHCPBindings, &neutrino.DHCPBinding{NetworkID: network, Host: a.Host})
}

// moveDHCP moves a host's service for a network to the host of the agent. The
// port goes along, so that the instances find their server where it was.
func moveDHCP(tx *Tx, b *neutrino.DHCPBinding, to *neutrino.Agent) error {
	store.Exists(tx.Tx, store.Agents, to.ID)
	for slot, holder := range slots(tx, b.NetworkID) {
		if holder == b.Host {
			tx.Release(slot)
			tx.Claim(slot, to.Host)
		}
	}
	store.Delete(tx.Tx, store.DHCPBindings, store.DHCPBindingID(b.NetworkID, b.Host))
	store.Put(tx.Tx, store.DHCPBindings, &neutrino.DHCPBinding{NetworkID: b.NetworkID, Host: to.Host})
	if found := dhcpPort(tx, b.NetworkID, b.Host); found != nil {
		return moveDHCPPort(tx, found, to.Host)
	}
	return nil
}

// reservedDHCP is the device_id of a DHCP port without a host: the next host
// that serves the network takes it with its addresses (dataplane.md section 4.1).
const reservedDHCP = "reserved_dhcp_port"

// moveDHCPPort gives a DHCP port to a host, "" for none.
func moveDHCPPort(tx *Tx, found *neutrino.Port, host string) error {
	p := editPort(tx, found)
	if p.DeviceID = reservedDHCP; host != "" {
		p.DeviceID = dhcpDeviceID(host, p.NetworkID)
	}
	tx.PutPort(p)
	return moveTo(tx, p, host)
}

// slots are the hosts that serve the network, by the claim of each.
func slots(tx *Tx, network neutrino.ID) map[string]string {
	all := map[string]string{}
	for slot, host := range store.Claims(tx.Tx, dhcpSlotPrefix(network)) {
		all[slot] = host
	}
	return all
}

// leaveDHCP ends a host's service for a network that another host may take up.
func leaveDHCP(tx *Tx, network neutrino.ID, slot, host string) error {
	if p := dhcpPort(tx, network, host); p != nil {
		if err := moveDHCPPort(tx, p, ""); err != nil {
			return err
		}
	}
	dropDHCP(tx, network, slot, host)
	return nil
}

// dropDHCP ends a host's service for a network, with its port.
func dropDHCP(tx *Tx, network neutrino.ID, slot, host string) {
	if p := dhcpPort(tx, network, host); p != nil {
		removePort(tx, p)
	}
	tx.Release(slot)
	store.Delete(tx.Tx, store.DHCPBindings, store.DHCPBindingID(network, host))
}

// dhcpPort is the port of a network's DHCP server on a host, or one that is
// reserved where the host is "", nil when none.
func dhcpPort(tx *Tx, network neutrino.ID, host string) *neutrino.Port {
	device := dhcpDeviceID(host, network)
	if host == "" {
		device = reservedDHCP
	}
	for p := range store.By(tx.Tx, store.PortsByDevice, device) {
		if p.DeviceOwner == neutrino.OwnerDHCP && p.HostID == host && p.NetworkID == network {
			return p
		}
	}
	return nil
}

// dhcpHosts are the agents that a network may be scheduled to now.
func dhcpHosts(tx *Tx) []*neutrino.Agent { return readyAgents(tx, neutrino.AgentDHCP) }

// leastLoaded is the one of the agents with the fewest networks whose host can
// serve this network too and does not yet (dataplane.md section 8); nil if none.
func leastLoaded(tx *Tx, n *neutrino.Network, among []*neutrino.Agent) *neutrino.Agent {
	var best choice
	for _, a := range among {
		if len(n.AvailabilityZoneHints) > 0 && !slices.Contains(n.AvailabilityZoneHints, a.AvailabilityZone) {
			continue
		}
		if _, bound := store.Peek(tx.Tx, store.DHCPBindings, store.DHCPBindingID(n.ID, a.Host)); bound {
			continue
		}
		if _, ok := binding.Capable(tx, a.Host, n); !ok {
			continue
		}
		best.offer(tx, a, store.Count(tx.Tx, store.DHCPBindingsByHost, a.Host))
	}
	return best.agent
}

// serveFrom makes or changes the DHCP port on one host.
func serveFrom(tx *Tx, n *neutrino.Network, host string, wanted []*neutrino.Subnet) error {
	if kept := dhcpPort(tx, n.ID, ""); kept != nil && dhcpPort(tx, n.ID, host) == nil {
		if err := moveDHCPPort(tx, kept, host); err != nil {
			return err
		}
	}
	if old := dhcpPort(tx, n.ID, host); old != nil {
		p := editPort(tx, old)
		dhcpAddresses(tx, p, wanted)
		if !slices.Equal(p.FixedIPs, old.FixedIPs) {
			tx.Touch(p.ID, &p.Standard)
			tx.PutPort(p)
		}
		return nil
	}
	id, err := newPortID(tx)
	if err != nil {
		return err
	}
	p := &neutrino.Port{
		ID: id, ProjectID: n.ProjectID, NetworkID: n.ID, AdminStateUp: true,
		DeviceID: dhcpDeviceID(host, n.ID), DeviceOwner: neutrino.OwnerDHCP, HostID: host,
	}
	if err := checkPortTexts(p); err != nil {
		return err
	}
	if err := makeMAC(tx, p); err != nil {
		return err
	}
	dhcpAddresses(tx, p, wanted)
	return addPort(tx, n, p)
}

// dhcpAddresses gives the port one address of each subnet, the lowest free one,
// and takes others away. A subnet that is full is left out: its instances have
// their addresses, and a request for something else must not fail by it; the
// next change of the network's subnets tries again.
func dhcpAddresses(tx *Tx, p *neutrino.Port, wanted []*neutrino.Subnet) {
	present := p.FixedIPs
	p.FixedIPs = nil
	for _, s := range wanted {
		has := false
		for _, f := range present {
			if f.SubnetID == s.ID {
				p.FixedIPs, has = append(p.FixedIPs, f), true
			}
		}
		if has {
			continue
		}
		ip, ok := p.MAC.EUI64(s.CIDR), s.IsAutoAddress()
		if ok {
			ok = tx.Claim(ipClaim(s.ID, ip), string(p.ID))
		} else {
			ip, ok = freeAddress(tx, s, p)
		}
		if ok {
			p.FixedIPs = append(p.FixedIPs, neutrino.FixedIP{SubnetID: s.ID, IPAddress: ip})
		}
	}
	for _, f := range present {
		if !slices.Contains(p.FixedIPs, f) {
			tx.Release(ipClaim(f.SubnetID, f.IPAddress))
		}
	}
}

// scheduleWaiting finds a host for networks whose subnets want DHCP and that
// have too few, as when they were made before any host was there.
func scheduleWaiting(tx *Tx) error {
	hosts := dhcpHosts(tx)
	done := map[neutrino.ID]bool{}
	for s := range store.All(tx.Tx, store.Subnets) {
		if !s.EnableDHCP || done[s.NetworkID] ||
			store.Count(tx.Tx, store.DHCPBindingsByNetwork, string(s.NetworkID)) >= tx.Config.DHCPAgentsPerNetwork {
			continue
		}
		n, ok := store.Peek(tx.Tx, store.Networks, s.NetworkID)
		if !ok || leastLoaded(tx, n, hosts) == nil {
			continue
		}
		// Neither the network nor its subnets may change meanwhile.
		store.Get(tx.Tx, store.Networks, n.ID)
		if err := serveDHCP(tx, n); err != nil {
			return err
		}
		if done[n.ID] = true; len(done) == scheduleBatch {
			return nil
		}
	}
	return nil
}

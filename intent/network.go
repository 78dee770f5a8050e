package intent

import (
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/defaultgroup"
	"neutrino/intent/dns"
	"neutrino/intent/quota"
	"neutrino/intent/rbac"
	"neutrino/intent/subnetpool"
	"neutrino/intent/work"
	"neutrino/store"
)

// autoDeleted lists the owners of ports that go with their network (api.md
// section 3.1); every other port keeps its network.
func autoDeleted(owner string) bool {
	switch owner {
	case neutrino.OwnerDHCP, "network:distributed", "network:floatingip_agent_gateway":
		return true
	}
	return false
}

// CreateNetwork makes a network with a segment and an MTU, and the project's
// default group.
func CreateNetwork(tx *Tx, n neutrino.Network, set neutrino.Fields) (*neutrino.Network, error) {
	project, err := tx.ProjectFor(n.ProjectID, set)
	if err != nil {
		return nil, err
	}
	if err := quota.Charge(tx, project, quota.Network); err != nil {
		return nil, err
	}
	n.ID, n.ProjectID, n.Status = tx.NewID(), project, neutrino.NetworkActive
	if !set.Has("admin_state_up") {
		n.AdminStateUp = true
	}
	if !set.Has("port_security_enabled") {
		n.PortSecurityEnabled = true
	}
	if err := checkZones(tx, n.AvailabilityZoneHints, neutrino.AgentDHCP); err != nil {
		return nil, err
	}
	if err := dns.Network(&n); err != nil {
		return nil, err
	}
	if err := takeSegment(tx, &n); err != nil {
		return nil, err
	}
	if err := setMTU(tx, &n); err != nil {
		return nil, err
	}
	if _, err := defaultgroup.Ensure(tx, project); err != nil {
		return nil, err
	}
	if err := openNetwork(tx, &n); err != nil {
		return nil, err
	}
	if err := settleDefault(tx, false, &n); err != nil {
		return nil, err
	}
	tx.Born(n.ID, &n.Standard)
	store.Put(tx.Tx, store.Networks, &n)
	return &n, nil
}

// openNetwork turns the flags shared and router:external into the RBAC policies
// that they stand for; no stored network has them.
func openNetwork(tx *Tx, n *neutrino.Network) error {
	o := rbac.Object{Type: rbac.Network, ID: n.ID, Project: n.ProjectID}
	shared, external := n.Shared, n.External
	n.Shared, n.External = false, false
	if shared {
		if err := rbac.Open(tx, o, neutrino.AccessAsShared); err != nil {
			return err
		}
	}
	if external && !work.IsExternal(tx.Tx, n.ID) {
		return rbac.Open(tx, o, neutrino.AccessAsExternal)
	}
	return nil
}

// closeNetwork takes away the RBAC policies of the flags that a request clears:
// the share with everybody, and all that the network is external by.
func closeNetwork(tx *Tx, old, n *neutrino.Network) error {
	if old.External && !n.External {
		if err := checkInternal(tx, n); err != nil {
			return err
		}
		rbac.Drop(tx, n.ID, neutrino.AccessAsExternal)
	}
	if !old.Shared || n.Shared {
		return nil
	}
	free, err := rbac.Unshare(tx, rbac.Object{Type: rbac.Network, ID: n.ID, Project: n.ProjectID})
	if err != nil || free {
		return err
	}
	return neutrino.Errorf(neutrino.Conflict, "InvalidSharedSetting",
		"Unable to reconfigure sharing settings for network %s. Multiple projects are using it.", n.Name)
}

// settleDefault takes the place of the default external network, which only one
// can have (api.md section 3.1), or gives it back.
func settleDefault(tx *Tx, was bool, n *neutrino.Network) error {
	switch {
	case n.IsDefault && !work.IsExternal(tx.Tx, n.ID):
		return neutrino.Invalidf("is_default: network %s is not external: set router:external too", n.ID)
	case n.IsDefault && !was && !tx.Claim(work.DefaultExternalClaim, string(n.ID)):
		other, _ := tx.Holder(work.DefaultExternalClaim)
		return neutrino.Errorf(neutrino.Conflict, "DefaultExternalNetworkExists",
			"A default external network already exists: %s.", other)
	case was && !n.IsDefault:
		tx.Release(work.DefaultExternalClaim)
	}
	return nil
}

// UpdateNetwork changes a network of the caller's. change gets a copy.
func UpdateNetwork(tx *Tx, id neutrino.ID, change func(*neutrino.Network) error, set neutrino.Fields) (*neutrino.Network, error) {
	old, err := work.Find(tx, work.Networks(), id)
	if err != nil {
		return nil, err
	}
	n := *old
	n.AvailabilityZoneHints = slices.Clone(old.AvailabilityZoneHints)
	n.Shared = work.GrantedToAll(tx.Tx, neutrino.AccessAsShared, id)
	n.External = work.IsExternal(tx.Tx, id)
	was := n
	if err := change(&n); err != nil {
		return nil, err
	}
	if err := changeSegment(tx, old, &n); err != nil {
		return nil, err
	}
	if err := dns.Network(&n); err != nil {
		return nil, err
	}
	if err := closeNetwork(tx, &was, &n); err != nil {
		return nil, err
	}
	if err := openNetwork(tx, &n); err != nil {
		return nil, err
	}
	if !set.Has("is_default") && !work.IsExternal(tx.Tx, id) {
		n.IsDefault = false // it goes with being external
	}
	if err := settleDefault(tx, was.IsDefault, &n); err != nil {
		return nil, err
	}
	if set.Has("mtu") {
		if err := setMTU(tx, &n); err != nil {
			return nil, err
		}
		if err := checkMTUForSubnets(tx, &n); err != nil {
			return nil, err
		}
	}
	tx.Touch(id, &n.Standard)
	store.Put(tx.Tx, store.Networks, &n)
	return &n, nil
}

// DeleteNetwork deletes a network with its subnets, the ports that go with it
// and the floating IPs that stand for nothing. Any other port keeps it:
// NetworkInUse, and nothing is changed.
func DeleteNetwork(tx *Tx, id neutrino.ID) error {
	n, err := work.Find(tx, work.Networks(), id)
	if err != nil {
		return err
	}
	var going []*neutrino.Port
	var idle []*neutrino.FloatingIP
	var kept []string
	for p := range store.By(tx.Tx, store.PortsByNetwork, string(id)) {
		if f, ok := idleFloatingIP(tx, p); ok {
			idle = append(idle, f)
		} else if autoDeleted(p.DeviceOwner) {
			going = append(going, p)
		} else {
			kept = append(kept, string(p.ID))
		}
	}
	if len(kept) > 0 {
		return neutrino.Errorf(neutrino.Conflict, "NetworkInUse",
			"Unable to complete operation on network %s. There are one or more ports still in use on the network, id for these ports is %s.",
			id, strings.Join(kept, ","))
	}
	for slot, host := range slots(tx, id) {
		dropDHCP(tx, id, slot, host)
	}
	for _, f := range idle {
		removeFloatingIP(tx, f)
	}
	for _, p := range going {
		removePort(tx, p)
	}
	for _, s := range subnetsOf(tx, id) {
		subnetpool.Release(tx, s)
		store.Delete(tx.Tx, store.Subnets, s.ID)
	}
	rbac.Drop(tx, id)
	if n.IsDefault {
		tx.Release(work.DefaultExternalClaim)
	}
	tx.Release(segmentClaim(n))
	store.Delete(tx.Tx, store.Networks, id)
	// A port that comes at the same moment holds a MAC: then this runs again.
	tx.RequireNone(macPrefix(id))
	return nil
}

// checkZones refuses a hint that the zone of no agent of the type can meet.
func checkZones(tx *Tx, hints []string, agentType string) error {
	for _, h := range hints {
		known := false
		for a := range store.All(tx.Tx, store.Agents) {
			known = known || a.AgentType == agentType && a.AvailabilityZone == h
		}
		if !known {
			return neutrino.Errorf(neutrino.NotFound, "AvailabilityZoneNotFound",
				"AvailabilityZone %s could not be found.", h)
		}
	}
	return nil
}

// maxMTU is the largest MTU that the network can have (dataplane.md section 7).
func maxMTU(c *Config, n *neutrino.Network) int {
	under, also := c.GlobalPhysnetMTU, c.PathMTU
	if n.NetworkType.IsProvider() {
		also = c.PhysicalNetworkMTUs[n.PhysicalNetwork]
	}
	if also > 0 {
		under = min(under, also)
	}
	return under - n.NetworkType.Overhead(c.OverlayIPVersion)
}

// setMTU checks the network's MTU; 0 stands for the largest.
func setMTU(tx *Tx, n *neutrino.Network) error {
	most := maxMTU(tx.Config, n)
	switch {
	case n.MTU < 0:
		return neutrino.Invalidf("Requested MTU %d is negative", n.MTU)
	case n.MTU > most:
		return neutrino.Invalidf("Requested MTU is too big, maximum is %d", most)
	case n.MTU == 0:
		n.MTU = most
	}
	return nil
}

func checkMTUForSubnets(tx *Tx, n *neutrino.Network) error {
	for _, s := range subnetsOf(tx, n.ID) {
		if err := checkMTUForSubnet(n, s); err != nil {
			return err
		}
	}
	return nil
}

// checkMTUForSubnet refuses an MTU below what the subnet's family needs.
func checkMTUForSubnet(n *neutrino.Network, s *neutrino.Subnet) error {
	least := neutrino.MinMTUIPv4
	if s.IPVersion == 6 {
		least = neutrino.MinMTUIPv6
	}
	if n.MTU >= least {
		return nil
	}
	return neutrino.Errorf(neutrino.Conflict, "NetworkMTUSubnetConflict",
		"MTU %d of network %s is below %d, the least of a network with an IPv%d subnet.",
		n.MTU, n.ID, least, s.IPVersion)
}

// subnetsOf are the subnets of the network, the oldest first.
func subnetsOf(tx *Tx, network neutrino.ID) []*neutrino.Subnet {
	list := slices.Collect(store.By(tx.Tx, store.SubnetsByNetwork, string(network)))
	slices.SortStableFunc(list, func(a, b *neutrino.Subnet) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return list
}

package intent

import (
	"maps"
	"slices"
	"strings"

	"neutrino"
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
	project, err := tx.projectFor(n.ProjectID, set)
	if err != nil {
		return nil, err
	}
	n.ID, n.ProjectID, n.Status = tx.newID(), project, neutrino.NetworkActive
	if !set.Has("admin_state_up") {
		n.AdminStateUp = true
	}
	if !set.Has("port_security_enabled") {
		n.PortSecurityEnabled = true
	}
	if err := networkPolicy(tx, &n, set, "create_network"); err != nil {
		return nil, err
	}
	if err := checkZones(tx, n.AvailabilityZoneHints, neutrino.AgentDHCP); err != nil {
		return nil, err
	}
	if err := takeSegment(tx, &n); err != nil {
		return nil, err
	}
	if err := setMTU(tx, &n); err != nil {
		return nil, err
	}
	if _, err := defaultGroup(tx, project); err != nil {
		return nil, err
	}
	tx.born(n.ID, &n.Standard)
	store.Put(tx.Tx, store.Networks, &n)
	return &n, nil
}

// UpdateNetwork changes a network of the caller's. change gets a copy.
func UpdateNetwork(tx *Tx, id neutrino.ID, change func(*neutrino.Network) error, set neutrino.Fields) (*neutrino.Network, error) {
	old, err := findOwn(tx, networks(), id, "update")
	if err != nil {
		return nil, err
	}
	n := *old
	n.AvailabilityZoneHints = slices.Clone(old.AvailabilityZoneHints)
	if err := change(&n); err != nil {
		return nil, err
	}
	if err := networkPolicy(tx, &n, set, "update_network"); err != nil {
		return nil, err
	}
	if old.External && !n.External {
		if err := checkInternal(tx, &n); err != nil {
			return nil, err
		}
	}
	if old.Shared && !n.Shared {
		if err := checkUnshare(tx, &n); err != nil {
			return nil, err
		}
	}
	if set.Has("mtu") {
		if err := setMTU(tx, &n); err != nil {
			return nil, err
		}
		if err := checkMTUForSubnets(tx, &n); err != nil {
			return nil, err
		}
	}
	tx.touch(id, &n.Standard)
	store.Put(tx.Tx, store.Networks, &n)
	return &n, nil
}

// DeleteNetwork deletes a network with its subnets, the ports that go with it
// and the floating IPs that stand for nothing. Any other port keeps it:
// NetworkInUse, and nothing is changed.
func DeleteNetwork(tx *Tx, id neutrino.ID) error {
	n, err := findOwn(tx, networks(), id, "delete")
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
		store.Delete(tx.Tx, store.Subnets, s.ID)
	}
	tx.Release(segmentClaim(n))
	store.Delete(tx.Tx, store.Networks, id)
	// A port that comes at the same moment holds a MAC: then this runs again.
	tx.RequireNone(macPrefix(id))
	return nil
}

// networkPolicy refuses what only an admin may say.
func networkPolicy(tx *Tx, n *neutrino.Network, set neutrino.Fields, rule string) error {
	if tx.Caller.Admin {
		return nil
	}
	given := map[string]bool{
		"provider:network_type":     n.NetworkType != "" && rule == "create_network",
		"provider:physical_network": n.PhysicalNetwork != "" && rule == "create_network",
		"provider:segmentation_id":  n.SegmentationID != 0 && rule == "create_network",
		"shared":                    n.Shared && rule == "create_network" || set.Has("shared") && rule == "update_network",
		"router:external":           n.External && rule == "create_network" || set.Has("router:external") && rule == "update_network",
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] {
			return denied(rule, rule+":"+name)
		}
	}
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

// checkUnshare refuses to take a share away from projects that use it.
func checkUnshare(tx *Tx, n *neutrino.Network) error {
	used := false
	for p := range store.By(tx.Tx, store.PortsByNetwork, string(n.ID)) {
		used = used || p.ProjectID != n.ProjectID && p.ProjectID != "" && !autoDeleted(p.DeviceOwner)
	}
	for s := range store.By(tx.Tx, store.SubnetsByNetwork, string(n.ID)) {
		used = used || s.ProjectID != n.ProjectID
	}
	if !used {
		return nil
	}
	return neutrino.Errorf(neutrino.Conflict, "InvalidSharedSetting",
		"Unable to reconfigure sharing settings for network %s. Multiple projects are using it.", n.Name)
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

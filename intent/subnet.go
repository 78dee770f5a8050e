package intent

import (
	"slices"

	"neutrino"
	"neutrino/intent/mark"
	"neutrino/intent/quota"
	"neutrino/intent/subnetpool"
	"neutrino/intent/work"
	"neutrino/store"
)

// CreateSubnet is [CreateSubnetFrom] with the prefix length of the subnet's pool.
func CreateSubnet(tx *Tx, s neutrino.Subnet, set neutrino.Fields) (*neutrino.Subnet, error) {
	return CreateSubnetFrom(tx, s, subnetpool.Request{}, set)
}

// CreateSubnetFrom makes a subnet, with a prefix from its subnet pool if it names
// one, gives its address to what is on the network already (autoconfigured
// ports, the DHCP ports), and bumps the network.
func CreateSubnetFrom(tx *Tx, s neutrino.Subnet, want subnetpool.Request, set neutrino.Fields) (*neutrino.Subnet, error) {
	n, err := work.Find(tx, work.Networks(), s.NetworkID)
	if err != nil {
		return nil, err
	}
	if s.ProjectID, err = tx.ProjectFor(s.ProjectID, set); err != nil {
		return nil, err
	}
	if err := quota.Charge(tx, s.ProjectID, quota.Subnet); err != nil {
		return nil, err
	}
	s.ID = tx.NewID()
	if !set.Has("enable_dhcp") {
		s.EnableDHCP = true
	}
	if err := subnetpool.Choose(tx, &s, want); err != nil {
		return nil, err
	}
	if err := subnetpool.CheckAffinity(tx, &s); err != nil {
		return nil, err
	}
	if err := subnetpool.Allocate(tx, &s, want); err != nil {
		return nil, err
	}
	if err := fillSubnet(tx, &s, set); err != nil {
		return nil, err
	}
	if err := checkMTUForSubnet(n, &s); err != nil {
		return nil, err
	}
	tx.Born(s.ID, &s.Standard)
	store.Put(tx.Tx, store.Subnets, &s)
	n = bumpNetwork(tx, n)
	if err := mark.Join(tx, n.ID); err != nil {
		return nil, err
	}
	if s.IsAutoAddress() {
		if err := addAutoAddresses(tx, &s); err != nil {
			return nil, err
		}
	}
	return &s, serveDHCP(tx, n)
}

// fillSubnet checks a new subnet and sets what the request leaves open.
func fillSubnet(tx *Tx, s *neutrino.Subnet, set neutrino.Fields) error {
	if err := checkCIDR(s); err != nil {
		return err
	}
	if err := checkModes(s); err != nil {
		return err
	}
	for _, other := range subnetsOf(tx, s.NetworkID) {
		if other.CIDR.Overlaps(s.CIDR) {
			return neutrino.Invalidf("Requested subnet with cidr: %s for network: %s overlaps with another subnet (%s)",
				s.CIDR, s.NetworkID, other.CIDR)
		}
	}
	if !set.Has("gateway_ip") {
		s.GatewayIP = defaultGateway(s)
	}
	if err := checkGateway(s); err != nil {
		return err
	}
	if s.AllocationPools == nil && !set.Has("allocation_pools") {
		s.AllocationPools = neutrino.DefaultPools(s.CIDR, s.GatewayIP)
	}
	return checkSubnetLists(tx, s)
}

// checkSubnetLists checks pools, name servers and routes, and puts the pools
// into their stored form.
func checkSubnetLists(tx *Tx, s *neutrino.Subnet) error {
	if err := checkServiceTypes(s); err != nil {
		return err
	}
	if err := checkPools(s); err != nil {
		return err
	}
	s.AllocationPools = neutrino.MergePools(s.AllocationPools)
	if err := checkGatewayPools(s); err != nil {
		return err
	}
	if err := checkNameservers(tx.Config, s); err != nil {
		return err
	}
	return checkHostRoutes(tx.Config, s)
}

// UpdateSubnet changes a subnet; change gets a copy. Addresses that ports have
// outside of new pools stay.
func UpdateSubnet(tx *Tx, id neutrino.ID, change func(*neutrino.Subnet) error, set neutrino.Fields) (*neutrino.Subnet, error) {
	old, n, err := findSubnet(tx, id)
	if err != nil {
		return nil, err
	}
	s := *old
	s.AllocationPools = slices.Clone(old.AllocationPools)
	s.DNSNameservers = slices.Clone(old.DNSNameservers)
	s.HostRoutes = slices.Clone(old.HostRoutes)
	s.ServiceTypes = slices.Clone(old.ServiceTypes)
	if err := change(&s); err != nil {
		return nil, err
	}
	if s.EnableDHCP != old.EnableDHCP {
		if err := checkDHCPPrefix(&s); err != nil {
			return nil, err
		}
	}
	if err := checkModes(&s); err != nil {
		return nil, err
	}
	if set.Has("gateway_ip") {
		if err := checkGateway(&s); err != nil {
			return nil, err
		}
		if err := checkGatewayMoves(tx, old, &s); err != nil {
			return nil, err
		}
	}
	if err := checkSubnetLists(tx, &s); err != nil {
		return nil, err
	}
	tx.Touch(id, &s.Standard)
	store.Put(tx.Tx, store.Subnets, &s)
	return &s, serveDHCP(tx, bumpNetwork(tx, n))
}

// DeleteSubnet deletes a subnet that no port has an address of, but for DHCP
// ports and addresses that ports made themselves: those are taken away.
func DeleteSubnet(tx *Tx, id neutrino.ID) error {
	s, n, err := findSubnet(tx, id)
	if err != nil {
		return err
	}
	users := slices.Collect(store.By(tx.Tx, store.PortsBySubnet, string(id)))
	for _, p := range users {
		if isRouterOwner(p.DeviceOwner) || !autoDeleted(p.DeviceOwner) && !s.IsAutoAddress() {
			return neutrino.Errorf(neutrino.Conflict, "SubnetInUse",
				"Unable to complete operation on subnet %s: One or more ports have an IP allocation from this subnet.", id)
		}
	}
	subnetpool.Release(tx, s)
	store.Delete(tx.Tx, store.Subnets, id)
	for _, user := range users {
		p := editPort(tx, user)
		p.FixedIPs = slices.DeleteFunc(p.FixedIPs, func(f neutrino.FixedIP) bool {
			if f.SubnetID == id {
				tx.Release(ipClaim(id, f.IPAddress))
			}
			return f.SubnetID == id
		})
		tx.Touch(p.ID, &p.Standard)
		tx.PutPort(p)
	}
	// A port that takes an address at the same moment makes this run again.
	tx.RequireNone(ipPrefix(id))
	return serveDHCP(tx, bumpNetwork(tx, n))
}

// findSubnet gets a subnet that the caller sees, and its network.
func findSubnet(tx *Tx, id neutrino.ID) (*neutrino.Subnet, *neutrino.Network, error) {
	s, err := work.Find(tx, work.Subnets(), id)
	if err != nil {
		return nil, nil, err
	}
	n, ok := store.Get(tx.Tx, store.Networks, s.NetworkID)
	if !ok {
		return nil, nil, work.Networks().Missing(s.NetworkID)
	}
	return s, n, nil
}

// bumpNetwork records that the network's subnets changed. It also makes two
// changes of the subnets of one network follow each other.
func bumpNetwork(tx *Tx, n *neutrino.Network) *neutrino.Network {
	bumped := *n
	tx.Touch(n.ID, &bumped.Standard)
	store.Put(tx.Tx, store.Networks, &bumped)
	return &bumped
}

// addAutoAddresses gives each port of the network the address that it makes for
// itself in a new subnet. DHCP ports get theirs with the others of DHCP.
func addAutoAddresses(tx *Tx, s *neutrino.Subnet) error {
	for _, old := range slices.Collect(store.By(tx.Tx, store.PortsByNetwork, string(s.NetworkID))) {
		if isRouterOwner(old.DeviceOwner) || old.DeviceOwner == neutrino.OwnerDHCP || old.DeviceOwner == neutrino.OwnerFloatingIP ||
			!s.Serves(old.DeviceOwner) {
			continue
		}
		p := editPort(tx, old)
		ip := p.MAC.EUI64(s.CIDR)
		if err := claimAddress(tx, s.ID, p.ID, ip); err != nil {
			return err
		}
		p.FixedIPs = append(p.FixedIPs, neutrino.FixedIP{SubnetID: s.ID, IPAddress: ip})
		tx.Touch(p.ID, &p.Standard)
		tx.PutPort(p)
	}
	return nil
}

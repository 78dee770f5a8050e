package intent

import (
	"slices"

	"neutrino"
	"neutrino/intent/binding"
	"neutrino/intent/work"
	"neutrino/store"
)

// Interface is the answer to adding and removing a router's interface. SubnetID
// is the first of SubnetIDs, those that came or went; ProjectID is the port's.
type Interface struct {
	RouterID, PortID, NetworkID, SubnetID neutrino.ID
	SubnetIDs                             []neutrino.ID
	ProjectID                             string
}

func interfaceOf(router neutrino.ID, p *neutrino.Port, list []*neutrino.Subnet) Interface {
	i := Interface{RouterID: router, PortID: p.ID, NetworkID: p.NetworkID, ProjectID: p.ProjectID}
	for _, s := range list {
		i.SubnetIDs = append(i.SubnetIDs, s.ID)
	}
	if len(i.SubnetIDs) > 0 {
		i.SubnetID = i.SubnetIDs[0]
	}
	return i
}

// AddRouterInterface connects a router to a subnet, by a new port with the
// subnet's gateway address, or by a port that exists. Exactly one of subnet and
// port is named.
func AddRouterInterface(tx *Tx, router, subnet, port neutrino.ID) (Interface, error) {
	r, err := work.Find(tx, work.Routers(), router)
	switch {
	case err != nil:
		return Interface{}, err
	case subnet == "" && port == "":
		return Interface{}, badRequest("router", "Either subnet_id or port_id must be specified")
	case subnet != "" && port != "":
		return Interface{}, badRequest("router", "Cannot specify both subnet-id and port-id")
	}
	var p *neutrino.Port
	var came []*neutrino.Subnet
	if port != "" {
		p, came, err = attachPort(tx, r, port)
	} else {
		p, came, err = attachSubnet(tx, r, subnet)
	}
	if err != nil {
		return Interface{}, err
	}
	next := cloneRouter(r)
	saveRouter(tx, next)
	return interfaceOf(router, p, came), placeRouter(tx, next)
}

// attachSubnet makes a port with exactly the subnet's gateway address; a further
// IPv6 prefix of a network joins the IPv6 port that the router has there.
func attachSubnet(tx *Tx, r *neutrino.Router, id neutrino.ID) (*neutrino.Port, []*neutrino.Subnet, error) {
	s, err := work.Find(tx, work.Subnets(), id)
	if err != nil {
		return nil, nil, err
	}
	n, ok := store.Get(tx.Tx, store.Networks, s.NetworkID)
	switch {
	case !ok:
		return nil, nil, work.Networks().Missing(s.NetworkID)
	case !s.GatewayIP.IsValid():
		return nil, nil, badRequest("router", "Subnet for router interface must have a gateway IP")
	case s.IPVersion == 6 && s.IPv6RAMode == "" && s.IPv6AddressMode != "":
		return nil, nil, badRequest("router",
			"IPv6 subnet %s configured to receive RAs from an external router cannot be added to Neutron Router.", s.ID)
	case !tx.Caller.Admin && !work.Owns(tx.Caller, s.ProjectID) && !work.Owns(tx.Caller, n.ProjectID) &&
		!work.GrantedByName(tx.Tx, neutrino.AccessAsShared, n.ID, tx.Caller.ProjectID):
		return nil, nil, badRequest("router",
			"Cannot add interface to router because subnet %s is not owned by project making the request", s.ID)
	}
	came := []*neutrino.Subnet{s}
	if err := checkAttach(tx, r, came); err != nil {
		return nil, nil, err
	}
	address := neutrino.FixedIP{SubnetID: s.ID, IPAddress: s.GatewayIP}
	if s.IPVersion == 6 {
		if old := ipv6Interface(tx, r.ID, n.ID); old != nil {
			p := editPort(tx, old)
			p.FixedIPs = append(p.FixedIPs, address)
			if err := wantedAddresses(tx, p, old.FixedIPs); err != nil {
				return nil, nil, err
			}
			tx.Touch(p.ID, &p.Standard)
			tx.PutPort(p)
			return p, came, nil
		}
	}
	p := &neutrino.Port{
		ProjectID: r.ProjectID, NetworkID: n.ID, AdminStateUp: true, FixedIPs: []neutrino.FixedIP{address},
		DeviceID: string(r.ID), DeviceOwner: neutrino.OwnerRouter,
	}
	if p.ID, err = newPortID(tx); err != nil {
		return nil, nil, err
	}
	if err := checkPortTexts(p); err != nil {
		return nil, nil, err
	}
	if err := makeMAC(tx, p); err != nil {
		return nil, nil, err
	}
	if err := wantedAddresses(tx, p, nil); err != nil {
		return nil, nil, err
	}
	return p, came, addPort(tx, n, p)
}

// attachPort makes a free port an interface: it is filtered no more, and bound
// where the router is.
func attachPort(tx *Tx, r *neutrino.Router, id neutrino.ID) (*neutrino.Port, []*neutrino.Subnet, error) {
	old, n, err := findPort(tx, id)
	if err != nil {
		return nil, nil, err
	}
	came := subnetsOn(tx, old)
	v4 := 0
	for _, s := range came {
		store.Get(tx.Tx, store.Subnets, s.ID)
	}
	for _, f := range old.FixedIPs {
		if f.IPAddress.Is4() {
			v4++
		}
	}
	switch {
	case !tx.Caller.Admin && !work.Owns(tx.Caller, old.ProjectID):
		return nil, nil, badRequest("router", "Cannot add interface to router because port %s is not owned by project making the request", id)
	case old.DeviceID != "":
		return nil, nil, neutrino.Errorf(neutrino.Conflict, "PortInUse",
			"Unable to complete operation on port %s for network %s. Port already has an attached device %s.", id, n.ID, old.DeviceID)
	case len(old.FixedIPs) == 0:
		return nil, nil, badRequest("router", "Router port must have at least one fixed IP")
	case v4 > 1:
		return nil, nil, badRequest("router", "Cannot have multiple IPv4 subnets on router port")
	}
	if err := checkAttach(tx, r, came); err != nil {
		return nil, nil, err
	}
	if other := ipv6Interface(tx, r.ID, n.ID); other != nil && v4 < len(old.FixedIPs) {
		return nil, nil, badRequest("router",
			"Cannot have multiple router ports with the same network id if both contain IPv6 subnets. Existing port %s has IPv6 subnet(s) and network id %s",
			other.ID, n.ID)
	}
	p := clonePort(old)
	p.DeviceID, p.DeviceOwner, p.HostID = string(r.ID), neutrino.OwnerRouter, ""
	p.PortSecurityEnabled, p.SecurityGroups, p.AllowedAddressPairs = false, nil, nil
	claimGroups(tx, old, p)
	binding.Settle(tx, p)
	binding.Rebind(tx, n, old, p)
	tx.Touch(p.ID, &p.Standard)
	tx.PutPort(p)
	return p, came, nil
}

// checkAttach refuses subnets that the router has already, or could not tell
// from those that it has.
func checkAttach(tx *Tx, r *neutrino.Router, came []*neutrino.Subnet) error {
	has := subnetsOn(tx, routerPorts(tx, r.ID)...)
	for _, s := range came {
		if slices.ContainsFunc(has, func(h *neutrino.Subnet) bool { return h.ID == s.ID }) {
			return badRequest("router", "Router already has a port on subnet %s", s.ID)
		}
	}
	if r.Gateway != nil {
		has = append(has, subnetsOf(tx, r.Gateway.NetworkID)...)
	}
	return checkOverlap(came, has)
}

// ipv6Interface is the router's interface in the network that has an IPv6
// address, nil when none.
func ipv6Interface(tx *Tx, router, network neutrino.ID) *neutrino.Port {
	for _, p := range routerPorts(tx, router) {
		if p.NetworkID == network && p.DeviceOwner == neutrino.OwnerRouter &&
			slices.ContainsFunc(p.FixedIPs, func(f neutrino.FixedIP) bool { return f.IPAddress.Is6() }) {
			return p
		}
	}
	return nil
}

// RemoveRouterInterface takes an interface away, by its port, its subnet or
// both. By a subnet, an IPv6 port with other prefixes keeps those.
func RemoveRouterInterface(tx *Tx, router, subnet, port neutrino.ID) (Interface, error) {
	r, err := work.Find(tx, work.Routers(), router)
	if err != nil {
		return Interface{}, err
	}
	p, went, err := detaching(tx, r, subnet, port)
	if err != nil {
		return Interface{}, err
	}
	for _, s := range went {
		if err := checkDetached(tx, r, s); err != nil {
			return Interface{}, err
		}
	}
	if len(went) == len(subnetsOn(tx, p)) {
		removePort(tx, p)
	} else {
		dropPrefix(tx, p, went[0].ID)
	}
	saveRouter(tx, cloneRouter(r))
	return interfaceOf(router, p, went), nil
}

// detaching finds the interface that a request means, and the subnets that the
// router loses with it.
func detaching(tx *Tx, r *neutrino.Router, subnet, port neutrino.ID) (*neutrino.Port, []*neutrino.Subnet, error) {
	if subnet == "" && port == "" {
		return nil, nil, badRequest("router", "Either subnet_id or port_id must be specified")
	}
	if port == "" {
		if _, err := work.Find(tx, work.Subnets(), subnet); err != nil {
			return nil, nil, err
		}
	}
	for _, p := range routerPorts(tx, r.ID) {
		if p.DeviceOwner != neutrino.OwnerRouter || port != "" && p.ID != port {
			continue
		}
		on := subnetsOn(tx, p)
		i := slices.IndexFunc(on, func(s *neutrino.Subnet) bool { return s.ID == subnet })
		switch {
		case port != "" && subnet != "" && i < 0:
			return nil, nil, neutrino.Errorf(neutrino.Invalid, "SubnetMismatchForPort",
				"Subnet on port %s does not match the requested subnet %s.", port, subnet)
		case port != "":
			return p, on, nil
		case i >= 0:
			return p, on[i : i+1], nil
		}
	}
	if port != "" {
		return nil, nil, neutrino.Errorf(neutrino.NotFound, "RouterInterfaceNotFound",
			"Router %s does not have an interface with id %s", r.ID, port)
	}
	return nil, nil, neutrino.Errorf(neutrino.NotFound, "RouterInterfaceNotFoundForSubnet",
		"Router %s has no interface on subnet %s", r.ID, subnet)
}

// dropPrefix takes one subnet from an interface.
func dropPrefix(tx *Tx, old *neutrino.Port, subnet neutrino.ID) {
	p := editPort(tx, old)
	p.FixedIPs = slices.DeleteFunc(p.FixedIPs, func(f neutrino.FixedIP) bool {
		if f.SubnetID == subnet {
			tx.Release(ipClaim(f.SubnetID, f.IPAddress))
		}
		return f.SubnetID == subnet
	})
	tx.Touch(p.ID, &p.Standard)
	tx.PutPort(p)
}

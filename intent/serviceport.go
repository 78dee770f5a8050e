package intent

import (
	"cmp"
	"net/netip"
	"slices"

	"neutrino"
	"neutrino/store"
)

// The ports that routers and floating IPs live on. Their device_owner and
// device_id say whose they are, so only this station may set the two together.

// idProbes is how often an ID is drawn whose beginning is another's too.
const idProbes = 64

// newPortID draws an ID whose first characters no other port has: the names of
// devices and chains are made of them.
func newPortID(tx *Tx) (neutrino.ID, error) { return drawID(tx, store.Ports, portNameLength) }

// drawID draws an ID of which no other of the table has the first characters.
func drawID[T any](tx *Tx, t *store.Table[T], length int) (neutrino.ID, error) {
	for range idProbes {
		if id := tx.NewID(); store.TakePrefix(tx.Tx, t, string(id[:length])) {
			return id, nil
		}
	}
	return "", neutrino.Errorf(neutrino.Unavailable, "ServiceUnavailable", "No free ID was found, try again.")
}

// inService reports whether a router or a floating IP lives on the port. Should
// the router or floating IP come or go meanwhile, the transaction runs again.
func inService(tx *Tx, p *neutrino.Port) bool {
	switch {
	case p.DeviceID == "":
		return false
	case isRouterOwner(p.DeviceOwner):
		return store.Exists(tx.Tx, store.Routers, neutrino.ID(p.DeviceID))
	case p.DeviceOwner == neutrino.OwnerFloatingIP:
		return store.Exists(tx.Tx, store.FloatingIPs, neutrino.ID(p.DeviceID))
	}
	return false
}

// checkNewDevice refuses a port that would pass for one of a router or of a
// floating IP (CVE-2014-0056).
func checkNewDevice(tx *Tx, p *neutrino.Port) error {
	if !inService(tx, p) {
		return nil
	}
	r, ok := store.Peek(tx.Tx, store.Routers, neutrino.ID(p.DeviceID))
	if ok && r.ProjectID != p.ProjectID {
		return neutrino.Errorf(neutrino.Conflict, "DeviceIDNotOwnedByTenant",
			"The following device_id %s is not owned by your project or matches another project router.", p.DeviceID)
	}
	return unsupportedOwner(p, "create")
}

// changeDevice lets a port become nobody's service port, and a service port
// nobody else's.
func changeDevice(tx *Tx, old, p *neutrino.Port) error {
	same := old.DeviceID == p.DeviceID && old.DeviceOwner == p.DeviceOwner
	switch {
	case inService(tx, old) && (!same || old.HostID != p.HostID):
		return unsupportedOwner(old, "update")
	case same:
		return nil
	}
	return checkNewDevice(tx, p)
}

func unsupportedOwner(p *neutrino.Port, operation string) error {
	return neutrino.Errorf(neutrino.Conflict, "UnsupportedPortDeviceOwner",
		"Operation %s is not supported for device_owner %s on port %s.", operation, p.DeviceOwner, p.ID)
}

// checkAddressesInUse refuses to take addresses away that something stands on:
// those of an interface, of a floating IP's own port, and those that floating
// IPs or forwardings lead to.
func checkAddressesInUse(tx *Tx, old, p *neutrino.Port) error {
	if slices.Equal(old.FixedIPs, p.FixedIPs) {
		return nil
	}
	if inService(tx, old) {
		return changeServiceAddresses(tx, old, p)
	}
	for _, f := range old.FixedIPs {
		if !f.IPAddress.Is4() || slices.Contains(p.FixedIPs, f) {
			continue
		}
		for range store.Claims(tx.Tx, portAddressPrefix(p.ID, f.IPAddress)) {
			return addressInUse(f, "a floating IP")
		}
		for pf := range store.By(tx.Tx, store.PortForwardingsByPort, string(p.ID)) {
			if pf.InternalIPAddress == f.IPAddress {
				return addressInUse(f, "a port forwarding")
			}
		}
		// An association that comes at the same moment makes this run again.
		tx.RequireNone(portAddressPrefix(p.ID, f.IPAddress))
	}
	return nil
}

func addressInUse(f neutrino.FixedIP, by string) error {
	return badRequest("port", "Cannot remove fixed IP %s, it is in use by %s.", f.IPAddress, by)
}

// changeServiceAddresses allows other addresses of the same subnets: IPv6 ones
// on an interface, and any on a gateway port, where the router's
// external_fixed_ips follow.
func changeServiceAddresses(tx *Tx, old, p *neutrino.Port) error {
	if !slices.Equal(unchangeable(old, old.FixedIPs), unchangeable(old, p.FixedIPs)) {
		return neutrino.Errorf(neutrino.Invalid, "IPAddressChangeNotAllowed",
			"IP address change not allowed for port %s with device_owner %s.", p.ID, p.DeviceOwner)
	}
	router, ok := store.Get(tx.Tx, store.Routers, neutrino.ID(p.DeviceID))
	if !ok || router.GatewayPortID != p.ID {
		return nil
	}
	if err := checkNotGateway(tx, "port", p); err != nil {
		return err
	}
	r := cloneRouter(router)
	r.Gateway.FixedIPs = slices.Clone(p.FixedIPs)
	saveRouter(tx, r)
	return nil
}

// unchangeable is what must stay of a service port's addresses: the subnets,
// and the addresses but for IPv6 ones of an interface and all of a gateway.
func unchangeable(p *neutrino.Port, list []neutrino.FixedIP) []neutrino.FixedIP {
	list = slices.Clone(list)
	for i := range list {
		if p.DeviceOwner == neutrino.OwnerGateway || list[i].IPAddress.Is6() && p.DeviceOwner != neutrino.OwnerFloatingIP {
			list[i].IPAddress = netip.Addr{}
		}
	}
	slices.SortFunc(list, func(a, b neutrino.FixedIP) int {
		return cmp.Or(cmp.Compare(a.SubnetID, b.SubnetID), a.IPAddress.Compare(b.IPAddress))
	})
	return list
}

// checkGatewayMoves refuses another gateway_ip while a router port holds the
// present one. A router that takes it at the same moment makes this run again.
func checkGatewayMoves(tx *Tx, old, s *neutrino.Subnet) error {
	if !old.GatewayIP.IsValid() || s.GatewayIP == old.GatewayIP {
		return nil
	}
	key := ipClaim(s.ID, old.GatewayIP)
	holder, held := tx.Holder(key)
	if !held {
		// To take it and give it back leaves the condition that it is free.
		tx.Claim(key, string(s.ID))
		tx.Release(key)
		return nil
	}
	p, ok := store.Peek(tx.Tx, store.Ports, neutrino.ID(holder))
	if !ok || !isRouterOwner(p.DeviceOwner) {
		return nil
	}
	return neutrino.Errorf(neutrino.Conflict, "GatewayIpInUse",
		"Current gateway ip %s already in use by port %s. Unable to update.", old.GatewayIP, p.ID)
}

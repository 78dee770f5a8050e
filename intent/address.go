package intent

import (
	"net/netip"
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// isRouterOwner reports whether the owner is a router's interface: such a port
// may choose its address in a subnet where others make their own.
func isRouterOwner(owner string) bool {
	return strings.HasPrefix(owner, neutrino.OwnerRouter) || owner == "network:ha_router_replicated_interface" ||
		owner == "network:router_centralized_snat" || owner == neutrino.OwnerGateway
}

// addressing finds the fixed IPs of one port.
type addressing struct {
	tx      *Tx
	port    *neutrino.Port
	subnets []*neutrino.Subnet // of the port's network
	kept    []neutrino.FixedIP // what the port has and may keep
	got     []neutrino.FixedIP
}

// defaultAddresses gives a new port one IPv4 and one IPv6 address, and one of
// each subnet where instances make their own (api.md section 3.3).
func defaultAddresses(tx *Tx, p *neutrino.Port) error {
	a := &addressing{tx: tx, port: p, subnets: subnetsOf(tx, p.NetworkID)}
	if len(a.subnets) > 0 && len(serving(a.subnets, p.DeviceOwner)) == 0 {
		return noService(p.NetworkID, p.DeviceOwner)
	}
	for _, version := range []int{4, 6} {
		if err := a.oneOf(version); err != nil {
			return err
		}
	}
	return a.finish()
}

// wantedAddresses gives the port the addresses that the request lists, keeping
// of its present ones those that fit and releasing the rest.
func wantedAddresses(tx *Tx, p *neutrino.Port, present []neutrino.FixedIP) error {
	a := &addressing{tx: tx, port: p, subnets: subnetsOf(tx, p.NetworkID), kept: slices.Clone(present)}
	want := p.FixedIPs
	if most := tx.Config.MaxFixedIPs; most > 0 && len(want) > most {
		return neutrino.Invalidf("Exceeded maximum amount of fixed ips per port: %d", most)
	}
	resolved, err := a.resolve(want)
	if err != nil {
		return err
	}
	// Exact addresses first, so that a free choice does not take one of them.
	a.got = make([]neutrino.FixedIP, len(resolved))
	for _, exact := range []bool{true, false} {
		for i, w := range resolved {
			if w.ip.IsValid() != exact {
				continue
			}
			ip, err := a.take(w)
			if err != nil {
				return err
			}
			a.got[i] = neutrino.FixedIP{SubnetID: w.subnet.ID, IPAddress: ip}
		}
	}
	return a.finish()
}

// wanted is one entry of a request with its subnet found; ip is unset where any
// address will do.
type wanted struct {
	subnet *neutrino.Subnet
	ip     netip.Addr
}

func (a *addressing) resolve(want []neutrino.FixedIP) ([]wanted, error) {
	list := make([]wanted, 0, len(want))
	seen := map[netip.Addr]bool{}
	for _, f := range want {
		w, err := a.resolveOne(f)
		if err != nil {
			return nil, err
		}
		if w.ip.IsValid() && seen[w.ip] {
			return nil, neutrino.Invalidf("Duplicate IP address '%s'", w.ip)
		}
		seen[w.ip] = true
		list = append(list, w)
	}
	return list, nil
}

func (a *addressing) resolveOne(f neutrino.FixedIP) (wanted, error) {
	w := wanted{ip: f.IPAddress}
	if w.ip.IsValid() && !plain(w.ip) {
		return w, neutrino.Invalidf("'%s' is not a valid IP address", w.ip)
	}
	for _, s := range a.subnets {
		if f.SubnetID == s.ID || f.SubnetID == "" && w.ip.IsValid() && s.CIDR.Contains(w.ip) && s.Serves(a.port.DeviceOwner) {
			w.subnet = s
		}
	}
	switch {
	case w.subnet == nil && f.SubnetID == "" && !w.ip.IsValid():
		return w, neutrino.Invalidf("IP allocation requires subnet_id or ip_address")
	case w.subnet == nil && f.SubnetID == "":
		return w, neutrino.Errorf(neutrino.Invalid, "InvalidIpForNetwork",
			"IP address %s is not a valid IP for any of the subnets on the specified network.", w.ip)
	case w.subnet == nil:
		s, ok := store.Peek(a.tx.Tx, store.Subnets, f.SubnetID)
		if !ok || !work.VisibleSubnet(a.tx.Caller, a.tx.Tx, s) {
			return w, work.Subnets().Missing(f.SubnetID)
		}
		return w, neutrino.Invalidf("Failed to create port on network %s, because fixed_ips included invalid subnet %s",
			a.port.NetworkID, f.SubnetID)
	case w.ip.IsValid() && (!w.subnet.CIDR.Contains(w.ip) || isEdge(w.subnet.CIDR, w.ip) && (w.ip.Is4() || !isRouterOwner(a.port.DeviceOwner))):
		return w, neutrino.Errorf(neutrino.Invalid, "InvalidIpForSubnet",
			"IP address %s is not a valid IP for the specified subnet.", w.ip)
	}
	return w, nil
}

// take gets the address of one entry: the exact one, the one that the port
// makes for itself, one that it has already, or a free one.
func (a *addressing) take(w wanted) (netip.Addr, error) {
	if w.subnet.IsAutoAddress() && !isRouterOwner(a.port.DeviceOwner) {
		own := a.port.MAC.EUI64(w.subnet.CIDR)
		if w.ip.IsValid() && w.ip != own {
			return own, neutrino.Errorf(neutrino.Invalid, "AllocationOnAutoAddressSubnet",
				"IPv6 address %s cannot be directly assigned to a port on subnet %s as the subnet is configured for automatic addresses",
				w.ip, w.subnet.ID)
		}
		w.ip = own
	}
	if a.keep(w) {
		return w.ip, nil
	}
	if w.ip.IsValid() {
		return w.ip, claimAddress(a.tx, w.subnet.ID, a.port.ID, w.ip)
	}
	for i, f := range a.kept {
		if f.SubnetID == w.subnet.ID {
			a.kept = slices.Delete(a.kept, i, i+1)
			return f.IPAddress, nil
		}
	}
	if ip, ok := freeAddress(a.tx, w.subnet, a.port); ok {
		return ip, nil
	}
	return w.ip, noAddress(a.port.NetworkID)
}

// keep takes an exact address out of those that the port has.
func (a *addressing) keep(w wanted) bool {
	i := slices.Index(a.kept, neutrino.FixedIP{SubnetID: w.subnet.ID, IPAddress: w.ip})
	if i < 0 {
		return false
	}
	a.kept = slices.Delete(a.kept, i, i+1)
	return true
}

// keeps reports whether the port has an address of the subnet that it may keep.
func (a *addressing) keeps(s *neutrino.Subnet) bool {
	return slices.ContainsFunc(a.kept, func(f neutrino.FixedIP) bool { return f.SubnetID == s.ID })
}

// oneOf adds a free address of the first subnet of the family that has one. A
// gateway may choose in subnets where others make their own.
func (a *addressing) oneOf(version int) error {
	any := false
	for _, s := range serving(a.subnets, a.port.DeviceOwner) {
		if s.IPVersion != version || s.IsAutoAddress() && a.port.DeviceOwner != neutrino.OwnerGateway {
			continue
		}
		any = true
		if ip, ok := freeAddress(a.tx, s, a.port); ok {
			a.got = append(a.got, neutrino.FixedIP{SubnetID: s.ID, IPAddress: ip})
			return nil
		}
	}
	if any {
		return noAddress(a.port.NetworkID)
	}
	return nil
}

// finish adds the addresses that the port makes for itself, also to an empty
// list (api.md section 7, T10), releases what the port no longer has, and
// writes the result into the port, in the order in which it is listed.
func (a *addressing) finish() error {
	for _, s := range a.subnets {
		has := slices.ContainsFunc(a.got, func(f neutrino.FixedIP) bool { return f.SubnetID == s.ID })
		stays := s.Serves(a.port.DeviceOwner) || a.keeps(s)
		if !s.IsAutoAddress() || has || !stays || isRouterOwner(a.port.DeviceOwner) {
			continue
		}
		ip, err := a.take(wanted{subnet: s})
		if err != nil {
			return err
		}
		a.got = append(a.got, neutrino.FixedIP{SubnetID: s.ID, IPAddress: ip})
	}
	for _, f := range a.kept {
		a.tx.Release(ipClaim(f.SubnetID, f.IPAddress))
	}
	neutrino.SortFixedIPs(a.got)
	a.port.FixedIPs = a.got
	return nil
}

// claimAddress takes one address; the error is IpAddressAlreadyAllocated.
func claimAddress(tx *Tx, subnet, port neutrino.ID, ip netip.Addr) error {
	if tx.Claim(ipClaim(subnet, ip), string(port)) {
		return nil
	}
	return neutrino.Errorf(neutrino.Conflict, "IpAddressAlreadyAllocated",
		"IP address %s already allocated in subnet %s", ip, subnet)
}

func noAddress(network neutrino.ID) error {
	return neutrino.Errorf(neutrino.Conflict, "IpAddressGenerationFailure",
		"No more IP addresses available on network %s.", network)
}

// allHeld is held for a search of a whole pool: what is taken at its beginning
// is read at once.
func allHeld(tx *Tx, subnet neutrino.ID, held func(netip.Addr) bool) func() func(netip.Addr) bool {
	return func() func(netip.Addr) bool {
		prefix, taken := ipPrefix(subnet), map[netip.Addr]bool{}
		for key := range store.Claims(tx.Tx, prefix) {
			if ip, err := netip.ParseAddr(strings.TrimPrefix(key, prefix)); err == nil {
				taken[ip] = true
			}
		}
		return func(ip netip.Addr) bool { return taken[ip] || held(ip) }
	}
}

// freeAddress claims a free address of the subnet's pools: the lowest for DHCP
// ports, for others a random one near the start. Work does not grow with the
// number of addresses taken, as only candidates are looked up.
func freeAddress(tx *Tx, s *neutrino.Subnet, p *neutrino.Port) (netip.Addr, bool) {
	contested := false
	free := tx.Choice(func(ip netip.Addr) bool {
		key := ipClaim(s.ID, ip)
		if _, held := tx.Holder(key); held {
			return true
		}
		// Not held but not to be had: a transaction beside this one is at it.
		taken := !tx.ClaimFree(key, string(p.ID))
		contested = contested || taken
		return taken
	})
	certain := tx.Choice(func(ip netip.Addr) bool { return !tx.Claim(ipClaim(s.ID, ip), string(p.ID)) })
	free.Taken = uint64(store.CountClaims(tx.Tx, ipPrefix(s.ID)))
	free.All, certain.All = allHeld(tx, s.ID, free.Held), allHeld(tx, s.ID, certain.Held)
	lowest := p.DeviceOwner == neutrino.OwnerDHCP || p.DeviceOwner == "network:distributed"
	for _, pool := range s.AllocationPools {
		pick, c := pool.Random, free
		if lowest {
			pick, c = pool.Lowest, certain
		}
		if ip, ok := pick(c); ok {
			return ip, true
		}
	}
	// Those beside this one may yet fail: claim what they are at, and let the
	// store decide. Otherwise "no more addresses" could be untrue.
	for i := 0; contested && i < len(s.AllocationPools); i++ {
		if ip, ok := s.AllocationPools[i].Random(certain); ok {
			return ip, true
		}
	}
	return netip.Addr{}, false
}

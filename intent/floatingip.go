package intent

import (
	"slices"

	"neutrino"
	"neutrino/intent/quota"
	"neutrino/intent/work"
	"neutrino/store"
)

// FloatingRequest is what a POST of a floating IP may say beside its attributes.
type FloatingRequest struct {
	// SubnetID is the external subnet that the address is to be of, "" for any.
	SubnetID neutrino.ID
}

// CreateFloatingIP takes an IPv4 address of an external network and, where the
// request names a port, lets it stand for an address of that port.
func CreateFloatingIP(tx *Tx, f neutrino.FloatingIP, want FloatingRequest, set neutrino.Fields) (*neutrino.FloatingIP, error) {
	project, err := tx.ProjectFor(f.ProjectID, set)
	if err != nil {
		return nil, err
	}
	n, err := work.Find(tx, work.Networks(), f.FloatingNetworkID)
	if err != nil {
		return nil, err
	}
	if !work.UsesExternal(tx.Caller, tx.Tx, n) {
		return nil, badRequest("floatingip", "Network %s is not a valid external network", n.ID)
	}
	if err := quota.Charge(tx, project, quota.FloatingIP); err != nil {
		return nil, err
	}
	f.ID, f.ProjectID, f.Status, f.RouterID = tx.NewID(), project, neutrino.FloatingIPDown, ""
	if err := takeFloatingAddress(tx, n, &f, want); err != nil {
		return nil, err
	}
	switch {
	case f.PortID != "":
		err = associate(tx, &f)
	case f.FixedIPAddress.IsValid():
		err = withoutPort()
	}
	if err != nil {
		return nil, err
	}
	tx.Born(f.ID, &f.Standard)
	tx.PutFloatingIP(&f)
	return &f, nil
}

func withoutPort() error {
	return badRequest("floatingip", "fixed_ip_address cannot be specified without a port_id")
}

// takeFloatingAddress makes the port that holds the floating IP's address.
func takeFloatingAddress(tx *Tx, n *neutrino.Network, f *neutrino.FloatingIP, want FloatingRequest) error {
	v4 := slices.DeleteFunc(subnetsOf(tx, n.ID), func(s *neutrino.Subnet) bool { return s.IPVersion != 4 })
	if len(v4) == 0 {
		return badRequest("floatingip", "Network %s does not contain any IPv4 subnet", n.ID)
	}
	p := &neutrino.Port{DeviceID: string(f.ID), DeviceOwner: neutrino.OwnerFloatingIP}
	if want.SubnetID != "" || f.FloatingIPAddress.IsValid() {
		p.FixedIPs = []neutrino.FixedIP{{SubnetID: want.SubnetID, IPAddress: f.FloatingIPAddress}}
	}
	err := addExternalPort(tx, n, p, func(p *neutrino.Port) error { return floatingAddress(tx, p, v4) })
	if err != nil {
		return err
	}
	f.FloatingPortID, f.FloatingIPAddress = p.ID, p.FixedIPs[0].IPAddress
	return nil
}

// floatingAddress gives the port one IPv4 address and no other.
func floatingAddress(tx *Tx, p *neutrino.Port, v4 []*neutrino.Subnet) error {
	a := &addressing{tx: tx, port: p, subnets: v4}
	if len(p.FixedIPs) == 0 {
		if len(serving(v4, p.DeviceOwner)) == 0 {
			return noService(v4[0].NetworkID, p.DeviceOwner)
		}
		if err := a.oneOf(4); err != nil {
			return err
		}
		return a.finish()
	}
	w, err := a.resolveOne(p.FixedIPs[0])
	if err != nil {
		return err
	}
	ip, err := a.take(w)
	if err != nil {
		return err
	}
	a.got = []neutrino.FixedIP{{SubnetID: w.subnet.ID, IPAddress: ip}}
	if err := a.finish(); err != nil {
		return err
	}
	return checkNotGateway(tx, "floatingip", p)
}

// UpdateFloatingIP changes a floating IP; change gets a copy. A request that
// names port_id associates, moves or, with none, disassociates it, and so does
// one that names nothing at all; any other keeps the association (api.md
// section 3.6).
func UpdateFloatingIP(tx *Tx, id neutrino.ID, change func(*neutrino.FloatingIP) error, set neutrino.Fields) (*neutrino.FloatingIP, error) {
	old, err := work.Find(tx, work.FloatingIPs(), id)
	if err != nil {
		return nil, err
	}
	f := *old
	if err := change(&f); err != nil {
		return nil, err
	}
	port, fixed := f.PortID, f.FixedIPAddress
	f.PortID, f.FixedIPAddress = old.PortID, old.FixedIPAddress
	switch {
	case len(set) == 0:
		port = ""
	case set.Has("fixed_ip_address") && fixed.IsValid() && (!set.Has("port_id") || port == ""):
		return nil, withoutPort()
	case !set.Has("port_id"):
		port, fixed = old.PortID, old.FixedIPAddress
	case !set.Has("fixed_ip_address") && port != old.PortID:
		fixed = unset
	}
	if port != old.PortID || port != "" && fixed != old.FixedIPAddress {
		if old.PortID != "" {
			disassociate(tx, &f)
		}
		if f.PortID, f.FixedIPAddress = port, fixed; port == "" {
			f.FixedIPAddress = unset
		} else if err := associate(tx, &f); err != nil {
			return nil, err
		}
		f.Status = neutrino.FloatingIPDown
	}
	saveFloatingIP(tx, &f)
	return &f, nil
}

// saveFloatingIP stores a changed copy. Every association and every forwarding
// of a floating IP goes through its row, so that two of them follow each other.
func saveFloatingIP(tx *Tx, f *neutrino.FloatingIP) {
	tx.Touch(f.ID, &f.Standard)
	tx.PutFloatingIP(f)
}

// DeleteFloatingIP deletes a floating IP with its port. Forwardings keep it, as they
// do in Neutron.
func DeleteFloatingIP(tx *Tx, id neutrino.ID) error {
	f, err := work.Find(tx, work.FloatingIPs(), id)
	if err != nil {
		return err
	}
	if err := unforwarded(tx, f); err != nil {
		return err
	}
	removeFloatingIP(tx, f)
	return nil
}

// unforwarded refuses what a floating IP with forwardings cannot do. Each of them
// goes through its row, so that none comes meanwhile.
func unforwarded(tx *Tx, f *neutrino.FloatingIP) error {
	for range store.By(tx.Tx, store.PortForwardingsByFloatingIP, string(f.ID)) {
		return neutrino.Errorf(neutrino.Conflict, "FipInUseByPortForwarding",
			"Floating IP %s in use by Port Forwarding resources.", f.ID)
	}
	return nil
}

// removeFloatingIP deletes a floating IP that has no forwardings.
func removeFloatingIP(tx *Tx, old *neutrino.FloatingIP) {
	store.Get(tx.Tx, store.FloatingIPs, old.ID) // nobody may change it meanwhile
	if f := *old; f.PortID != "" {
		disassociate(tx, &f)
	}
	if p, ok := store.Get(tx.Tx, store.Ports, old.FloatingPortID); ok {
		removePort(tx, p)
	}
	tx.DeleteFloatingIP(old.ID)
}

// touchPort records a change of what hangs on a port.
func touchPort(tx *Tx, id neutrino.ID) {
	if found, ok := store.Peek(tx.Tx, store.Ports, id); ok {
		p := editPort(tx, found)
		tx.Touch(id, &p.Standard)
		tx.PutPort(p)
	}
}

package intent

import (
	"slices"
	"strings"

	"neutrino"
	"neutrino/intent/binding"
	"neutrino/intent/dns"
	"neutrino/intent/quota"
	"neutrino/intent/work"
	"neutrino/store"
)

// maxProfile is the longest binding:profile, bytes (api.md section 3.9).
const maxProfile = 4095

// clonePort copies a port with its lists, so that the stored one stays as it is.
func clonePort(old *neutrino.Port) *neutrino.Port {
	p := *old
	p.FixedIPs = slices.Clone(old.FixedIPs)
	p.SecurityGroups = slices.Clone(old.SecurityGroups)
	p.AllowedAddressPairs = slices.Clone(old.AllowedAddressPairs)
	p.ExtraDHCPOpts = slices.Clone(old.ExtraDHCPOpts)
	return &p
}

// editPort is a copy to change of a port that was found by an index: the port
// may not change, or go, meanwhile.
func editPort(tx *Tx, found *neutrino.Port) *neutrino.Port {
	store.Get(tx.Tx, store.Ports, found.ID)
	return clonePort(found)
}

// isTrusted reports whether ports of the owner are the cloud's own: they are
// not filtered. Only these: the policy lets nobody but the network's owner make
// such ports, while any other owner is for everybody.
func isTrusted(owner string) bool { return strings.HasPrefix(owner, neutrino.OwnerNetworkPrefix) }

// CreatePort makes a port: it allocates a MAC and addresses, attaches security
// groups and, when a host is named, binds it there.
func CreatePort(tx *Tx, port neutrino.Port, set neutrino.Fields) (*neutrino.Port, error) {
	n, err := work.Find(tx, work.Networks(), port.NetworkID)
	if err != nil {
		return nil, err
	}
	if !tx.Caller.All() && !work.Owns(tx.Caller, n.ProjectID) && !work.SharesNetwork(tx.Caller, tx.Tx, n) {
		return nil, work.Networks().Missing(n.ID) // an external network is no place for instances
	}
	p := clonePort(&port)
	if p.ProjectID, err = tx.ProjectFor(p.ProjectID, set); err != nil {
		return nil, err
	}
	if err := quota.Charge(tx, p.ProjectID, quota.Port); err != nil {
		return nil, err
	}
	if p.ID, err = newPortID(tx); err != nil {
		return nil, err
	}
	if !set.Has("admin_state_up") {
		p.AdminStateUp = true
	}
	if err := checkPortTexts(p); err != nil {
		return nil, err
	}
	if err := dns.Port(tx.Config, n, p); err != nil {
		return nil, err
	}
	if err := checkNewDevice(tx, p); err != nil {
		return nil, err
	}
	if err := takeMAC(tx, p); err != nil {
		return nil, err
	}
	if set.Has("fixed_ips") || len(p.FixedIPs) > 0 {
		err = wantedAddresses(tx, p, nil)
	} else {
		err = defaultAddresses(tx, p)
	}
	if err != nil {
		return nil, err
	}
	if err := securePort(tx, n, p, set); err != nil {
		return nil, err
	}
	if err := newDHCPOptions(p); err != nil {
		return nil, err
	}
	return p, addPort(tx, n, p)
}

// addPort binds a complete new port and stores it.
func addPort(tx *Tx, n *neutrino.Network, p *neutrino.Port) error {
	p.Status = neutrino.PortDown
	if p.DeviceOwner == neutrino.OwnerFloatingIP {
		p.Status = neutrino.PortNotApplicable
	}
	binding.Bind(tx, n, p)
	tx.Born(p.ID, &p.Standard)
	tx.PutPort(p)
	return nil
}

// checkPortTexts checks what is free text of a limited kind.
func checkPortTexts(p *neutrino.Port) error {
	switch p.VNICType {
	case "":
		p.VNICType = "normal"
	case "normal":
	default:
		return neutrino.Invalidf("binding:vnic_type '%s' is not supported", p.VNICType)
	}
	if p.Profile == "" {
		p.Profile = "{}"
	}
	if len(p.Profile) > maxProfile {
		return neutrino.Invalidf("binding:profile value too large")
	}
	for _, text := range []string{p.DeviceID, p.DeviceOwner, p.HostID} {
		if hasControl(text) {
			return neutrino.Invalidf("'%s' has control characters", strings.ToValidUTF8(text, "?"))
		}
	}
	return nil
}

// UpdatePort changes a port; change gets a copy. A list that the request names
// replaces the present one, but for extra DHCP options, which are merged.
func UpdatePort(tx *Tx, id neutrino.ID, change func(*neutrino.Port) error, set neutrino.Fields) (*neutrino.Port, error) {
	old, n, err := findPort(tx, id)
	if err != nil {
		return nil, err
	}
	p := clonePort(old)
	if err := change(p); err != nil {
		return nil, err
	}
	if err := checkPortTexts(p); err != nil {
		return nil, err
	}
	if set.Has("dns_name") || set.Has("dns_domain") {
		if err := dns.Port(tx.Config, n, p); err != nil {
			return nil, err
		}
	}
	if err := changeDevice(tx, old, p); err != nil {
		return nil, err
	}
	if err := changeMAC(tx, old, p, set); err != nil {
		return nil, err
	}
	if err := changeAddresses(tx, old, p, set); err != nil {
		return nil, err
	}
	if err := checkAddressesInUse(tx, old, p); err != nil {
		return nil, err
	}
	if err := changeSecurity(tx, old, p, set); err != nil {
		return nil, err
	}
	if err := mergeDHCPOptions(old, p, set); err != nil {
		return nil, err
	}
	binding.Settle(tx, p)
	binding.Rebind(tx, n, old, p)
	if !p.AdminStateUp && p.Status != neutrino.PortNotApplicable {
		p.Status = neutrino.PortDown
	}
	tx.Touch(id, &p.Standard)
	tx.PutPort(p)
	return p, nil
}

// DeletePort deletes a port. The owner of the port or of its network may. A
// DHCP port comes again while a subnet of the network asks for it; a port that
// a router or a floating IP lives on goes with that only.
func DeletePort(tx *Tx, id neutrino.ID) error {
	p, n, err := findPort(tx, id)
	if err != nil {
		return err
	}
	if inService(tx, p) {
		return neutrino.Errorf(neutrino.Conflict, "ServicePortInUse",
			"Port %s cannot be deleted directly via the port API: has device owner %s.", p.ID, p.DeviceOwner)
	}
	removePort(tx, p)
	if p.DeviceOwner == neutrino.OwnerDHCP {
		return serveDHCP(tx, n)
	}
	return nil
}

// findPort gets a port that the caller sees, and its network.
func findPort(tx *Tx, id neutrino.ID) (*neutrino.Port, *neutrino.Network, error) {
	p, err := work.Find(tx, work.Ports(), id)
	if err != nil {
		return nil, nil, err
	}
	n, ok := store.Get(tx.Tx, store.Networks, p.NetworkID)
	if !ok {
		return nil, nil, work.Networks().Missing(p.NetworkID)
	}
	return p, n, nil
}

// removePort deletes a port and gives back all that it held. Floating IPs that
// stood for it stand for nothing. One that is gone already is none.
func removePort(tx *Tx, p *neutrino.Port) {
	p, ok := store.Get(tx.Tx, store.Ports, p.ID) // nobody may change it meanwhile
	if !ok {
		return
	}
	dropAssociations(tx, p)
	tx.Release(externalUseClaim(p.NetworkID, p.ID))
	tx.Release(macClaim(p.NetworkID, p.MAC))
	for _, f := range p.FixedIPs {
		tx.Release(ipClaim(f.SubnetID, f.IPAddress))
	}
	for _, g := range p.SecurityGroups {
		tx.Release(groupUserClaim(g, p.ID))
	}
	binding.Release(tx, p)
	tx.DeletePort(p.ID)
}

// changeAddresses follows a request's fixed_ips, and a new MAC in the subnets
// where the address is made of it.
func changeAddresses(tx *Tx, old, p *neutrino.Port, set neutrino.Fields) error {
	if set.Has("fixed_ips") {
		return wantedAddresses(tx, p, old.FixedIPs)
	}
	p.FixedIPs = slices.Clone(old.FixedIPs)
	if p.MAC == old.MAC {
		return nil
	}
	p.FixedIPs = slices.DeleteFunc(p.FixedIPs, func(f neutrino.FixedIP) bool {
		s, ok := store.Peek(tx.Tx, store.Subnets, f.SubnetID)
		return ok && s.IsAutoAddress()
	})
	return wantedAddresses(tx, p, old.FixedIPs)
}

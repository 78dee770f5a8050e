// Package addresspair is the part of the intent station for allowed address
// pairs: which further addresses and MACs a port may send by.
package addresspair

import (
	"net/netip"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// Check checks a port's allowed address pairs: at most so many, each once, only
// addresses that a frame can come from, and none that is another project's port.
func Check(tx *work.Tx, p *neutrino.Port) error {
	if most := tx.Config.MaxAllowedAddressPair; len(p.AllowedAddressPairs) > most {
		return neutrino.Errorf(neutrino.Invalid, "AllowedAddressPairExhausted",
			"The number of allowed address pair exceeds the maximum %d.", most)
	}
	seen := map[neutrino.AddressPair]bool{}
	for _, pair := range p.AllowedAddressPairs {
		if err := form(pair); err != nil {
			return err
		}
		mac := "None"
		if !pair.MAC.IsZero() {
			mac = pair.MAC.String()
		}
		key := pair
		if key.MAC.IsZero() {
			key.MAC = p.MAC
		}
		if seen[key] {
			return neutrino.Errorf(neutrino.Invalid, "DuplicateAddressPairInRequest",
				"Request contains duplicate address pair: mac_address %s ip_address %s.", mac, pair.IPAddress)
		}
		seen[key] = true
		if err := foreign(tx, p, pair); err != nil {
			return err
		}
	}
	return nil
}

// form checks one pair by itself.
func form(pair neutrino.AddressPair) error {
	if pair.IPAddress == (netip.Prefix{}) {
		return neutrino.Errorf(neutrino.Invalid, "AllowedAddressPairsMissingIP",
			"AllowedAddressPair must contain ip_address")
	}
	a := pair.IPAddress.Addr()
	if !pair.IPAddress.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsMulticast() {
		return neutrino.Invalidf("'%s' is not a valid IP address of a pair", pair.IPAddress)
	}
	if pair.MAC[0]&1 != 0 {
		return neutrino.Invalidf("'%s' is not a valid MAC address of a pair", pair.MAC)
	}
	return nil
}

// foreign refuses a pair that is a port of another project on the network. That
// port may come later, and a wider prefix may cover it: the hosts leave it out of
// the pair then (docs/decisions/032-metadata-knows-the-port.md).
func foreign(tx *work.Tx, p *neutrino.Port, pair neutrino.AddressPair) error {
	if pair.IPAddress.IsSingleIP() {
		for other := range store.By(tx.Tx, store.PortsByIP, pair.IPAddress.Addr().String()) {
			if takes(p, other) {
				return refuse(p, "ip_address "+pair.IPAddress.Addr().String())
			}
		}
	}
	if pair.MAC.IsZero() {
		return nil
	}
	for other := range store.By(tx.Tx, store.PortsByMAC, pair.MAC.String()) {
		if takes(p, other) {
			return refuse(p, "mac_address "+pair.MAC.String())
		}
	}
	return nil
}

// takes reports whether the other port is a foreign one that is in use. One that
// is bound to no host has no traffic: its address may be meant to be another
// port's, as the virtual address of a load balancer is its amphora's.
func takes(p, other *neutrino.Port) bool {
	return other.NetworkID == p.NetworkID && other.ID != p.ID && other.ProjectID != p.ProjectID &&
		(other.HostID != "" || other.DeviceOwner == neutrino.OwnerFloatingIP)
}

func refuse(p *neutrino.Port, what string) error {
	return neutrino.Errorf(neutrino.Conflict, "AddressPairOfAnotherProject",
		"The allowed address pair with %s is in use by a port of another project on network %s. Leave it out of allowed_address_pairs.",
		what, p.NetworkID)
}

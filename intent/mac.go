package intent

import (
	"neutrino"
)

// macProbes is how many random MACs are tried.
const macProbes = 128

// takeMAC claims the port's MAC in its network, making one up where the request
// gave none.
func takeMAC(tx *Tx, p *neutrino.Port) error {
	if p.MAC.IsZero() {
		return makeMAC(tx, p)
	}
	if p.MAC == (neutrino.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) {
		return neutrino.Invalidf("'%s' is not a valid MAC address", p.MAC)
	}
	if !tx.Claim(macClaim(p.NetworkID, p.MAC), string(p.ID)) {
		return neutrino.Errorf(neutrino.Conflict, "MacAddressInUse",
			"Unable to complete operation for network %s. The mac address %s is in use.", p.NetworkID, p.MAC)
	}
	return nil
}

// makeMAC makes a MAC of the configured base: its first three octets, and its
// fourth unless that is zero (api.md section 3.3).
func makeMAC(tx *Tx, p *neutrino.Port) error {
	for range macProbes {
		m := tx.Config.BaseMAC
		r := tx.Rand.Uint32()
		if m[3] == 0 {
			m[3] = byte(r >> 16)
		}
		m[4], m[5] = byte(r>>8), byte(r)
		if tx.ClaimFree(macClaim(p.NetworkID, m), string(p.ID)) {
			p.MAC = m
			return nil
		}
	}
	return neutrino.Errorf(neutrino.Unavailable, "MacAddressGenerationFailure",
		"Unable to generate unique mac on network %s.", p.NetworkID)
}

// changeMAC gives an unbound port another MAC; null asks for a new random one.
func changeMAC(tx *Tx, old, p *neutrino.Port, set neutrino.Fields) error {
	if !set.Has("mac_address") || p.MAC == old.MAC {
		p.MAC = old.MAC
		return nil
	}
	if old.VIFType != neutrino.VIFUnbound && old.VIFType != neutrino.VIFBindingFailed {
		return neutrino.Errorf(neutrino.Conflict, "PortBound",
			"Unable to complete operation on port %s, port is already bound, port type: %s, old_mac %s, new_mac %s.",
			p.ID, old.VIFType, old.MAC, p.MAC)
	}
	if err := takeMAC(tx, p); err != nil {
		return err
	}
	tx.Release(macClaim(old.NetworkID, old.MAC))
	return nil
}

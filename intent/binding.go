package intent

import (
	"slices"

	"neutrino"
	"neutrino/intent/binding"
	"neutrino/intent/work"
	"neutrino/store"
)

// moveTo binds a stored port to the host, "" for none.
func moveTo(tx *Tx, found *neutrino.Port, host string) error {
	n, ok := store.Peek(tx.Tx, store.Networks, found.NetworkID)
	if !ok {
		return work.Networks().Missing(found.NetworkID)
	}
	p := editPort(tx, found)
	p.HostID = host
	binding.Rebind(tx, n, found, p)
	tx.Touch(p.ID, &p.Standard)
	tx.PutPort(p)
	return nil
}

// retryBinding binds those of the cloud's own ports on a host whose binding
// failed, as while its agent was away. Instances' ports are Nova's to retry.
func retryBinding(tx *Tx, host string) error {
	for _, p := range slices.Collect(store.By(tx.Tx, store.PortsByHost, host)) {
		if p.VIFType != neutrino.VIFBindingFailed || !isRouterOwner(p.DeviceOwner) && p.DeviceOwner != neutrino.OwnerDHCP {
			continue
		}
		n, ok := store.Peek(tx.Tx, store.Networks, p.NetworkID)
		if !ok {
			continue
		}
		if _, ok := binding.Capable(tx, host, n); !ok {
			continue
		}
		if err := moveTo(tx, p, host); err != nil {
			return err
		}
	}
	return nil
}

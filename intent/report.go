package intent

import (
	"slices"

	"neutrino"
	"neutrino/intent/binding"
	"neutrino/store"
)

// Report derives the status of a host's ports from what the host says of itself
// (architecture, invariant 8): a bound port is ACTIVE when it is enabled and
// nothing of it is pending, else DOWN. settled says whether the report covers a
// port as it is now; others wait for the next report. Only a status that
// changes is written, and it is no change of the port's revision: the status is
// the host's, not a request's. The same holds for the floating IPs that go
// through the host's routers, for which settled is asked with their own ID. Of
// ports that may move here, it is noted that they can; Nova waits for that.
func Report(tx *Tx, r neutrino.Report, settled func(neutrino.ID) bool) error {
	pending := map[string]bool{}
	for _, p := range r.Pending {
		if p.Kind != neutrino.Noticed {
			pending[p.Object] = true
		}
	}
	var changed []*neutrino.Port
	for p := range store.By(tx.Tx, store.PortsByHost, r.Host) {
		if p.VIFType != neutrino.VIFOVS || !settled(p.ID) {
			continue
		}
		status := neutrino.PortActive
		if !p.AdminStateUp || pending[neutrino.PortObject(p.ID)] {
			status = neutrino.PortDown
		}
		if p.Status != status {
			next := editPort(tx, p)
			next.Status = status
			changed = append(changed, next)
		}
	}
	for _, p := range changed {
		tx.PutPort(p)
	}
	if tx.Config.TellNova.StatusChanges {
		binding.Arrived(tx, r.Host, func(p neutrino.ID) bool {
			return settled(p) && !pending[neutrino.PortObject(p)]
		})
	}
	for b := range store.By(tx.Tx, store.RouterBindingsByHost, r.Host) {
		reportFloatingIPs(tx, b, pending, settled)
	}
	return reportConditions(tx, r)
}

func reportFloatingIPs(tx *Tx, b *neutrino.RouterBinding, pending map[string]bool, settled func(neutrino.ID) bool) {
	r, ok := store.Peek(tx.Tx, store.Routers, b.RouterID)
	if !ok {
		return
	}
	for _, found := range slices.Collect(store.By(tx.Tx, store.FloatingIPsByRouter, string(r.ID))) {
		status := statusOnHost(r, found, pending)
		if found.Status == status || !settled(found.ID) {
			continue
		}
		store.Get(tx.Tx, store.FloatingIPs, found.ID)
		store.Get(tx.Tx, store.RouterBindings, r.ID) // the router may not move meanwhile
		f := *found
		f.Status = status
		tx.PutFloatingIP(&f)
	}
}

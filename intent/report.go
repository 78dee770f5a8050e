package intent

import (
	"neutrino"
	"neutrino/store"
)

// Report derives the status of a host's ports from what the host says of itself
// (architecture, invariant 8): a bound port is ACTIVE when it is enabled and
// nothing of it is pending, else DOWN. settled says whether the report covers a
// port as it is now; others wait for the next report. Only a status that
// changes is written, and it is no change of the port's revision: the status is
// the host's, not a request's.
func Report(tx *Tx, r neutrino.Report, settled func(neutrino.ID) bool) error {
	pending := map[string]bool{}
	for _, p := range r.Pending {
		pending[p.Object] = true
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
		store.Put(tx.Tx, store.Ports, p)
	}
	return nil
}

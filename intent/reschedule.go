package intent

import (
	"slices"

	"neutrino"
	"neutrino/intent/liveness"
	"neutrino/store"
)

// Rescheduled is what one look for dead hosts came to.
type Rescheduled struct {
	Moved   int // routers, and networks' DHCP services
	Verdict liveness.Verdict
}

// Reschedule moves the routers and the DHCP service of networks away from hosts
// whose agents were deleted, and from those that [liveness.Judge.Verdict] calls
// dead and lets move. Each goes to the host with the least to do. What no other
// host can take stays with a dead one. It is to be called again and again: one
// call moves a limited number, at most the given one, and a host that was heard
// in between keeps what it still has.
func Reschedule(tx *Tx, most int) (r Rescheduled, err error) {
	most = min(most, scheduleBatch)
	if r.Moved, err = deserted(tx, most); err != nil {
		return r, err
	}
	r.Verdict = tx.Judge.Verdict(hostsInUse(tx.Tx))
	for _, host := range r.Verdict.Movable() {
		for _, agentType := range []string{neutrino.AgentDHCP, neutrino.AgentL3} {
			id := agentID(agentType, host)
			if _, ok := store.Peek(tx.Tx, store.Agents, id); !ok || r.Moved >= most {
				continue
			}
			n, err := abandon(tx, agentType, host, most-r.Moved)
			if err != nil {
				return r, err
			}
			if r.Moved += n; n > 0 {
				store.Get(tx.Tx, store.Agents, id) // a heartbeat meanwhile saves it
			}
		}
	}
	return r, nil
}

// Verdict is who seems dead now, and whether work moves away from there. It is to
// be asked for again and again: see [liveness.Judge.Verdict].
func (s *Service) Verdict() liveness.Verdict { return s.judge.Verdict(hostsInUse(s.db.Snapshot())) }

// hostsInUse are all hosts, and whether something is bound to them.
func hostsInUse(r store.Reader) []liveness.Host {
	var list []liveness.Host
	for h := range store.All(r, store.Hosts) {
		bound := store.Count(r, store.PortsByHost, h.Name) + store.Count(r, store.RouterBindingsByHost, h.Name) +
			store.Count(r, store.DHCPBindingsByHost, h.Name)
		list = append(list, liveness.Host{Name: h.Name, InUse: bound > 0})
	}
	return list
}

// deserted takes work from hosts whose agents for it were deleted.
func deserted(tx *Tx, most int) (moved int, err error) {
	for _, h := range slices.Collect(store.All(tx.Tx, store.Hosts)) {
		for _, agentType := range []string{neutrino.AgentL3, neutrino.AgentDHCP} {
			id := agentID(agentType, h.Name)
			if _, ok := store.Peek(tx.Tx, store.Agents, id); ok {
				continue
			}
			n, err := evacuate(tx, agentType, h.Name, most-moved)
			if err != nil {
				return moved, err
			}
			if n > 0 {
				store.Exists(tx.Tx, store.Agents, id) // a registration meanwhile saves it
				forgetHost(tx, h.Name)
			}
			moved += n
		}
	}
	return moved, nil
}

// abandon moves at most so many things of an agent off a dead host.
func abandon(tx *Tx, agentType, host string, most int) (moved int, err error) {
	if agentType == neutrino.AgentL3 {
		return each(tx, slices.Collect(store.By(tx.Tx, store.RouterBindingsByHost, host)), most, failOverRouter)
	}
	return each(tx, slices.Collect(store.By(tx.Tx, store.DHCPBindingsByHost, host)), most, failOverDHCP)
}

// Package serverevent is the part of the intent station that writes down what
// Nova has to be told, in the transaction that makes it so, and strikes out what
// Nova has acknowledged.
package serverevent

import (
	"maps"
	"reflect"
	"slices"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// Record writes down what the transaction's changes of ports and floating IPs
// mean to Nova, as Neutron's notifier does (dataplane.md section 6.3). It runs
// after everything else. Nothing is written where Nova is not told.
func Record(tx *work.Tx) {
	tell := tx.Config.TellNova
	if tell == (work.TellNova{}) {
		return
	}
	for old, new := range tx.ChangedPorts() {
		switch {
		case new == nil:
			deleted(tx, old)
		case new.HasServer():
			status(tx, old, new)
			data(tx, old, new)
		}
	}
	if tell.DataChanges {
		for old, new := range tx.ChangedFloatingIPs() {
			association(tx, old, new)
		}
	}
}

// note writes an event down. An older one of the port and the topic that Nova
// has not acknowledged is replaced: a port that went and came again is there,
// and who waits for it hears of it once.
func note(tx *work.Tx, p *neutrino.Port, topic neutrino.EventTopic, name neutrino.EventName) {
	store.Put(tx.Tx, store.ServerEvents, &neutrino.ServerEvent{
		PortID: p.ID, Topic: topic, Name: name, ServerID: p.DeviceID, At: tx.Now,
	})
}

// deleted says that a port is gone. What else was to be said of it is pointless.
func deleted(tx *work.Tx, old *neutrino.Port) {
	if old == nil {
		return // it came and went in one transaction
	}
	for _, e := range slices.Collect(store.By(tx.Tx, store.ServerEventsByPort, string(old.ID))) {
		store.Delete(tx.Tx, store.ServerEvents, e.ID())
	}
	if old.HasServer() && tx.Config.TellNova.DataChanges {
		note(tx, old, neutrino.TopicPort, neutrino.VIFDeleted)
	}
}

// status says whether a port is wired: on its host, and on those that it may
// move to, of which Nova waits before it moves an instance.
func status(tx *work.Tx, old, new *neutrino.Port) {
	if !tx.Config.TellNova.StatusChanges {
		return
	}
	if old == nil {
		old = &neutrino.Port{}
	}
	was, is := old.Status == neutrino.PortActive, new.Status == neutrino.PortActive
	switch {
	case !was && is:
		note(tx, new, neutrino.TopicWiring, neutrino.VIFPlugged)
	case was && new.Status == neutrino.PortDown:
		note(tx, new, neutrino.TopicWiring, neutrino.VIFUnplugged)
	}
	for _, b := range new.Standby {
		if b.Wired && !wiredOn(old, b.Host) {
			note(tx, new, neutrino.TopicWiringOn(b.Host), neutrino.VIFPlugged)
		}
	}
}

// wiredOn reports whether Nova knows already that the host has the port.
func wiredOn(p *neutrino.Port, host string) bool {
	return p.HostID == host || slices.ContainsFunc(p.Standby, func(b neutrino.PortBinding) bool { return b.Host == host && b.Wired })
}

// data says that what Nova keeps of a port has changed.
func data(tx *work.Tx, old, new *neutrino.Port) {
	if !tx.Config.TellNova.DataChanges || old == nil || old.RevisionNumber == new.RevisionNumber {
		return
	}
	if !reflect.DeepEqual(told(old, new), told(new, new)) {
		note(tx, new, neutrino.TopicData, neutrino.NetworkChanged)
	}
}

// told is a port without what the status says, what only hosts see, and what
// changes with everything. A move between bindings is left out too: Nova makes
// it, and Neutron does not tell it back.
func told(p, now *neutrino.Port) neutrino.Port {
	c := *p
	moved := slices.ContainsFunc(now.Standby, func(b neutrino.PortBinding) bool { return b.Host == p.HostID })
	if moved {
		c.Bind(now.Binding())
	}
	c.Status, c.Standby, c.CTZone, c.Tags = "", nil, 0, nil
	c.Standard = neutrino.Standard{Description: p.Description}
	return c
}

// association says to both sides that a floating IP went from one port, or
// address of a port, to another. Ports that are gone have said so themselves.
func association(tx *work.Tx, old, new *neutrino.FloatingIP) {
	var was, is neutrino.FloatingIP
	if old != nil {
		was = *old
	}
	if new != nil {
		is = *new
	}
	if was.PortID == is.PortID && was.FixedIPAddress == is.FixedIPAddress {
		return
	}
	for _, id := range []neutrino.ID{was.PortID, is.PortID} {
		if p, ok := store.Peek(tx.Tx, store.Ports, id); ok && p.HasServer() {
			note(tx, p, neutrino.TopicData, neutrino.NetworkChanged)
		}
	}
}

// Settle strikes out events that Nova has acknowledged, by their IDs, each with
// the revision at which it was written down. One that was said anew meanwhile
// stays.
func Settle(tx *work.Tx, acknowledged map[neutrino.ID]store.Revision) {
	for _, id := range slices.Sorted(maps.Keys(acknowledged)) {
		_, waits := store.Get(tx.Tx, store.ServerEvents, id)
		if waits && store.ModRevision(tx.Tx, store.ServerEvents, id) == acknowledged[id] {
			store.Delete(tx.Tx, store.ServerEvents, id)
		}
	}
}

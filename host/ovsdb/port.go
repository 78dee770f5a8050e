package ovsdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"neutrino/host"
	"neutrino/reconcile"
)

type ports struct{ db *DB }

// Ports is the hand on the ports of ours: those whose Port row says so in
// external_ids:neutrino. A port of somebody else's is never changed, not even
// when a plan wants its name: that is an error of the item.
func (d *DB) Ports() reconcile.Hand[string, host.OVSPort] { return ports{d} }

// Read returns the ports of ours. What ovs-vswitchd reports broken has Error.
func (h ports) Read(ctx context.Context) (map[string]host.OVSPort, error) {
	x, err := h.db.look(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]host.OVSPort{}
	for name, p := range x.ports {
		if p.externalIDs[markOwner] == "" {
			continue
		}
		v := x.port(p)
		if replaced(p) {
			v.Error = "its device was replaced by another of the same name"
		}
		out[name] = v
	}
	return out, nil
}

func (x *index) port(p *portRow) host.OVSPort {
	v := host.OVSPort{Tag: tagOf(p), OtherConfig: text(p.otherConfig), Error: reason(x.health(p.name))}
	if b := x.on[p.uuid]; b != nil {
		v.Bridge = b.name
	}
	if i := x.ifaces[p.name]; i != nil {
		v.Type, v.Options, v.ExternalIDs = i.kind, text(i.options), text(i.externalIDs)
	}
	return v
}

// tagOf is the access VLAN. Any other wiring than access is one that no plan
// wants, so it reads as a tag that cannot be.
func tagOf(p *portRow) uint16 {
	if p.vlanMode != "" && p.vlanMode != "access" || len(p.trunks) > 0 {
		return notAccess
	}
	tag, err := strconv.ParseUint(p.tag, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(tag)
}

// notAccess stands for the tag of a port with trunks or another VLAN mode.
const notAccess = 0xffff

// Apply makes, changes and removes ports in one transaction, and waits until
// ovs-vswitchd has given the new ones their numbers.
func (h ports) Apply(ctx context.Context, diff reconcile.Diff[string, host.OVSPort]) error {
	x, err := h.db.look(ctx)
	if err != nil {
		return err
	}
	if x, err = h.db.release(ctx, x, keysOf(diff.Put)); err != nil {
		return err
	}
	var changes []change
	var bad []error
	for _, name := range keysOf(diff.Drop) {
		if p := x.ports[name]; p != nil && p.externalIDs[markOwner] != "" {
			changes = append(changes, change{"port " + name, diff.Drop[name].Why, func(t *txn) { x.dropPort(t, p) }})
		}
	}
	put := map[string]host.OVSPort{}
	for _, name := range keysOf(diff.Put) {
		want := diff.Put[name]
		if err := x.mayPut(name, want); err != nil {
			bad = append(bad, &host.ItemError{Item: "port " + name, Why: want.Why, Err: err})
			continue
		}
		put[name] = want
		changes = append(changes, change{"port " + name, want.Why, func(t *txn) { x.putPort(t, name, want) }})
	}
	failed := h.db.commit(ctx, "ports", changes)
	if wholly(failed) {
		return failed
	}
	return errors.Join(append(bad, failed, checkHealth(ctx, h.db, healthOf[host.OVSPort]{
		items: put, kind: "port", why: func(p host.OVSPort) host.Why { return p.Why },
	}))...)
}

func (x *index) mayPut(name string, want host.OVSPort) error {
	if x.bridges[want.Bridge] == nil {
		return &host.Absent{What: "bridge " + want.Bridge}
	}
	if p := x.ports[name]; p != nil && p.externalIDs[markOwner] == "" {
		return fmt.Errorf("a port of this name exists and is not ours (no external_ids:%s)", markOwner)
	}
	return nil
}

func (x *index) putPort(t *txn, name string, want host.OVSPort) {
	bridge := x.bridges[want.Bridge]
	iface := map[string]any{"type": want.Type, "options": wireMap(untext(want.Options)), "external_ids": wireMap(untext(want.ExternalIDs))}
	port := map[string]any{"tag": tagColumn(want.Tag), "vlan_mode": wireSet[string](), "trunks": wireSet[int](), "other_config": wireMap(untext(want.OtherConfig))}
	p := x.ports[name]
	if p == nil {
		owner := want.Why.Object
		if owner == "" {
			owner = "host"
		}
		iface["name"], port["name"] = name, name
		port["interfaces"] = wireNamed(t.insert(tableInterface, iface))
		marks := map[string]string{markOwner: owner}
		if want.Type == "" {
			noteDevice(marks, name)
		}
		port["external_ids"] = wireMap(marks)
		t.mutate(tableBridge, bridge.uuid, [3]any{"ports", "insert", wireSet(wireNamed(t.insert(tablePort, port)))})
		t.takeUp = true
		return
	}
	have := x.port(p)
	if have.Tag != want.Tag || have.OtherConfig != want.OtherConfig {
		t.update(tablePort, p.uuid, port)
	}
	if i := x.ifaces[name]; i != nil && (have.Type != want.Type || have.Options != want.Options || have.ExternalIDs != want.ExternalIDs) {
		t.update(tableInterface, i.uuid, iface)
		t.takeUp = true
	}
	if have.Bridge != want.Bridge {
		if from := x.on[p.uuid]; from != nil {
			t.mutate(tableBridge, from.uuid, [3]any{"ports", "delete", wireSet(wireUUID(p.uuid))})
		}
		t.mutate(tableBridge, bridge.uuid, [3]any{"ports", "insert", wireSet(wireUUID(p.uuid))})
		t.touch(p.uuid)
		t.takeUp = true
	}
}

// dropPort takes a port off its bridge; the server then removes its rows,
// which nothing refers to any more.
func (x *index) dropPort(t *txn, p *portRow) {
	x.touchPorts(t, []string{p.uuid})
	if b := x.on[p.uuid]; b != nil {
		t.mutate(tableBridge, b.uuid, [3]any{"ports", "delete", wireSet(wireUUID(p.uuid))})
	}
}

func tagColumn(tag uint16) any {
	if tag == 0 {
		return wireSet[int]()
	}
	return tag
}

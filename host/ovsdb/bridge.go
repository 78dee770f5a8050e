package ovsdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"neutrino/host"
	"neutrino/reconcile"
)

type bridges struct{ db *DB }

// Bridges is the hand on the bridges of ours: those whose row says so in
// external_ids:neutrino. A bridge that somebody else made under a wanted name
// is adopted: it gets the mark and the wanted settings, and keeps its ports.
func (d *DB) Bridges() reconcile.Hand[string, host.Bridge] { return bridges{d} }

// Read returns the bridges of ours. What ovs-vswitchd reports broken has Error.
func (h bridges) Read(ctx context.Context) (map[string]host.Bridge, error) {
	x, err := h.db.look(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]host.Bridge{}
	for name, b := range x.bridges {
		if b.externalIDs[markOwner] == "" {
			continue
		}
		out[name] = host.Bridge{DatapathType: b.datapathType, FailMode: b.failMode, Protocols: strings.Join(b.protocols, ","),
			OtherConfig: text(only(b.otherConfig, list(b.externalIDs[markKeys]))), Error: reason(x.health(name))}
	}
	return out, nil
}

// Apply makes, changes and removes bridges in one transaction.
func (h bridges) Apply(ctx context.Context, diff reconcile.Diff[string, host.Bridge]) error {
	x, err := h.db.look(ctx)
	if err != nil {
		return err
	}
	var changes []change
	for _, name := range keysOf(diff.Drop) {
		if b := x.bridges[name]; b != nil && b.externalIDs[markOwner] != "" {
			changes = append(changes, change{"bridge " + name, diff.Drop[name].Why, func(t *txn) { dropBridge(t, x, b) }})
		}
	}
	for _, name := range keysOf(diff.Put) {
		changes = append(changes, change{"bridge " + name, diff.Put[name].Why, func(t *txn) { putBridge(t, x.bridges[name], name, diff.Put[name]) }})
	}
	failed := h.db.commit(ctx, "bridges", changes)
	if wholly(failed) {
		return failed
	}
	return errors.Join(failed, checkHealth(ctx, h.db, healthOf[host.Bridge]{
		items: diff.Put, kind: "bridge", why: func(b host.Bridge) host.Why { return b.Why },
	}))
}

func putBridge(t *txn, have *bridgeRow, name string, want host.Bridge) {
	config := untext(want.OtherConfig)
	marks := map[string]string{markOwner: want.Why.Object, markKeys: strings.Join(keysOf(config), ",")}
	if marks[markOwner] == "" {
		marks[markOwner] = "host"
	}
	columns := map[string]any{"datapath_type": want.DatapathType, "fail_mode": optional(want.FailMode), "protocols": wireSet(list(want.Protocols)...)}
	if have == nil {
		marks[markMade] = "true"
		iface := t.insert(tableInterface, map[string]any{"name": name, "type": "internal"})
		port := t.insert(tablePort, map[string]any{"name": name, "interfaces": wireNamed(iface)})
		columns["name"], columns["ports"] = name, wireNamed(port)
		columns["other_config"], columns["external_ids"] = wireMap(config), wireMap(marks)
		bridge := t.insert(tableBridge, columns)
		t.root([3]any{"bridges", "insert", wireSet(wireNamed(bridge))})
		t.takeUp = true
		return
	}
	if have.datapathType != want.DatapathType || have.failMode != want.FailMode || strings.Join(have.protocols, ",") != want.Protocols {
		t.update(tableBridge, have.uuid, columns)
		t.takeUp = true
	}
	ours := list(have.externalIDs[markKeys])
	if text(only(have.otherConfig, append(keysOf(config), ours...))) != want.OtherConfig {
		t.put([3]string{tableBridge, have.uuid, "other_config"}, ours, config)
		t.takeUp = true
	}
	if owner := have.externalIDs[markOwner]; owner != "" {
		marks[markOwner] = owner
	}
	if text(only(have.externalIDs, keysOf(marks))) != text(marks) {
		t.put([3]string{tableBridge, have.uuid, "external_ids"}, nil, marks)
	}
}

// dropBridge removes a bridge that we made and that holds nothing of others;
// any other bridge is only let go of.
func dropBridge(t *txn, x *index, b *bridgeRow) {
	if b.externalIDs[markMade] == "" || x.foreign(b) {
		t.put([3]string{tableBridge, b.uuid, "external_ids"}, []string{markOwner, markMade, markKeys}, nil)
		return
	}
	x.touchPorts(t, b.ports)
	t.touch(b.uuid)
	t.root([3]any{"bridges", "delete", wireSet(wireUUID(b.uuid))})
	t.takeUp = true
}

// foreign reports whether the bridge has a port that is neither its own local
// port nor one of ours.
func (x *index) foreign(b *bridgeRow) bool {
	for _, p := range x.ports {
		if slices.Contains(b.ports, p.uuid) && p.name != b.name && p.externalIDs[markOwner] == "" {
			return true
		}
	}
	return false
}

func (x *index) touchPorts(t *txn, uuids []string) {
	for _, p := range x.ports {
		if slices.Contains(uuids, p.uuid) {
			t.touch(p.uuid)
			for _, i := range p.interfaces {
				t.touch(i)
			}
		}
	}
}

// optional is a column that may be empty.
func optional(s string) any {
	if s == "" {
		return wireSet[string]()
	}
	return s
}

// health is what ovs-vswitchd says about an interface: nil when it has a port
// number and no error.
func (x *index) health(name string) error {
	i := x.ifaces[name]
	switch {
	case i == nil:
		return &host.Absent{What: "interface " + name}
	case i.err != "" && !x.patched(i):
		return errors.New(i.err)
	case i.ofport == "-1":
		return fmt.Errorf("ovs-vswitchd could not open interface %s (ofport -1)", name)
	case i.ofport == "" && x.bridges[name] != nil && !x.behind:
		// A datapath that cannot be made leaves no other trace in the database.
		return fmt.Errorf("ovs-vswitchd could not make bridge %s with datapath_type=%s: is the openvswitch kernel module there? ovs-vswitchd's log has more",
			name, x.bridges[name].datapathType)
	case i.ofport == "":
		return &host.Absent{What: "ofport of interface " + name}
	}
	return nil
}

// patched reports whether a patch port and its peer have each other. Then an
// error is a stale one: ovs-vswitchd does not look again at a patch port whose
// peer came after it.
func (x *index) patched(i *ifaceRow) bool {
	peer := x.ifaces[i.options["peer"]]
	return i.kind == "patch" && peer != nil && peer.kind == "patch" && peer.options["peer"] == i.name &&
		i.numbered() && peer.numbered()
}

func (i *ifaceRow) numbered() bool { return i.ofport != "" && i.ofport != "-1" }

type healthOf[V any] struct {
	items map[string]V
	kind  string // "bridge", "port"
	why   func(V) host.Why
}

// checkHealth says which of the items ovs-vswitchd did not accept.
func checkHealth[V any](ctx context.Context, db *DB, h healthOf[V]) error {
	if len(h.items) == 0 {
		return nil
	}
	x, err := db.look(ctx)
	if err != nil {
		return err
	}
	var bad []error
	for _, name := range keysOf(h.items) {
		if err := x.health(name); err != nil {
			bad = append(bad, &host.ItemError{Item: h.kind + " " + name, Why: h.why(h.items[name]), Err: err})
		}
	}
	return errors.Join(bad...)
}

// wholly reports whether an error concerns the database and not single items.
func wholly(err error) bool {
	var item *host.ItemError
	return err != nil && !errors.As(err, &item)
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

package ovsdb

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"neutrino/host"
	"neutrino/reconcile"
)

// deadVLAN is where a port is that must not talk (dataplane.md section 1.3).
const deadVLAN = 4095

type vifs struct{ db *DB }

// VIFs is the hand on the wiring of what others plugged into the integration
// bridge: interfaces with iface-id and attached-mac in their external_ids.
func (d *DB) VIFs() reconcile.Hand[string, host.VIF] { return vifs{d} }

// vif is one such interface with its port.
type vif struct {
	iface *ifaceRow
	port  *portRow
}

// Read returns the VIFs by iface-id. One that is on the dead VLAN and that no
// plan has claimed is at rest and left out. Where two interfaces carry one
// iface-id, the second is returned as "<iface-id>@<interface>", which is in no
// plan, so it ends on the dead VLAN.
func (h vifs) Read(ctx context.Context) (map[string]host.VIF, error) {
	x, err := h.db.look(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]host.VIF{}
	for id, v := range x.vifs(h.db.options.IntegrationBridge) {
		_, claimed := v.port.externalIDs[markVIF]
		if !claimed && isDead(v.port) {
			continue
		}
		out[id] = v.state(x)
	}
	return out, nil
}

func (v vif) state(x *index) host.VIF {
	s := host.VIF{MAC: strings.ToLower(v.iface.externalIDs["attached-mac"]), Tag: tagOf(v.port),
		OtherConfig: text(only(v.port.otherConfig, list(v.port.externalIDs[markVIF]))), Error: reason(x.health(v.iface.name))}
	if isDead(v.port) {
		s.Tag, s.Dead = deadVLAN, true
	}
	return s
}

// isDead asks for the tag and the trunk: the tag keeps other ports' frames
// away, the trunk of 4095 only keeps its own untagged ones from going anywhere.
func isDead(p *portRow) bool {
	return p.tag == strconv.Itoa(deadVLAN) && p.vlanMode == "trunk" && len(p.trunks) == 1 && p.trunks[0] == strconv.Itoa(deadVLAN)
}

// vifs are the VIFs on a bridge by key.
func (x *index) vifs(bridge string) map[string]vif {
	b := x.bridges[bridge]
	if b == nil {
		return nil
	}
	var all []vif
	for _, p := range x.ports {
		if x.on[p.uuid] != b || p.externalIDs[markOwner] != "" {
			continue
		}
		for _, u := range p.interfaces {
			if i := x.byUUID[u]; i != nil && i.externalIDs["iface-id"] != "" && i.externalIDs["attached-mac"] != "" {
				all = append(all, vif{i, p})
			}
		}
	}
	// Of two with one iface-id the one that works is the one: a device that is
	// gone leaves its row behind.
	sort.Slice(all, func(i, j int) bool {
		a, b := x.health(all[i].iface.name) == nil, x.health(all[j].iface.name) == nil
		if a != b {
			return a
		}
		return all[i].iface.name < all[j].iface.name
	})
	out := map[string]vif{}
	for _, v := range all {
		key := v.iface.externalIDs["iface-id"]
		if _, taken := out[key]; taken {
			key += "@" + v.iface.name
		}
		out[key] = v
	}
	return out
}

// Apply wires VIFs in one transaction: the tag and the other_config keys of a
// plan for those of Put, the dead VLAN for those of Drop and for one that was
// plugged with another MAC than its port has. Rows are never removed.
func (h vifs) Apply(ctx context.Context, diff reconcile.Diff[string, host.VIF]) error {
	x, err := h.db.look(ctx)
	if err != nil {
		return err
	}
	there := x.vifs(h.db.options.IntegrationBridge)
	var changes []change
	for _, id := range keysOf(diff.Drop) {
		if v, ok := there[id]; ok {
			changes = append(changes, change{"vif " + id, diff.Drop[id].Why, func(t *txn) { kill(t, v.port) }})
		}
	}
	var bad []error
	for _, id := range keysOf(diff.Put) {
		want, item := diff.Put[id], "vif "+id
		v, err := find(there, id, want)
		if err != nil {
			bad = append(bad, &host.ItemError{Item: item, Why: want.Why, Err: err})
			if v.port != nil { // another's MAC: filters do not fit it
				changes = append(changes, change{item, want.Why, func(t *txn) { kill(t, v.port) }})
			}
			continue
		}
		changes = append(changes, change{item, want.Why, func(t *txn) { wire(t, v.port, want) }})
		// A broken device is wired all the same, so that it works when it heals.
		if err := x.health(v.iface.name); err != nil {
			bad = append(bad, &host.ItemError{Item: item, Why: want.Why, Err: err})
		}
	}
	failed := h.db.commit(ctx, "wiring", changes)
	if wholly(failed) {
		return failed
	}
	return errors.Join(append(bad, failed)...)
}

func find(there map[string]vif, id string, want host.VIF) (vif, error) {
	v, ok := there[id]
	if !ok {
		return v, &host.Absent{What: "interface of port " + id}
	}
	if mac := v.iface.externalIDs["attached-mac"]; !strings.EqualFold(mac, want.MAC) {
		return v, fmt.Errorf("interface %s was plugged with MAC %s, the port has %s", v.iface.name, mac, want.MAC)
	}
	return v, nil
}

func wire(t *txn, p *portRow, want host.VIF) {
	if want.Dead {
		deaden(t, p)
	} else if tagOf(p) != want.Tag {
		t.update(tablePort, p.uuid, map[string]any{"tag": tagColumn(want.Tag), "vlan_mode": wireSet[string](), "trunks": wireSet[int]()})
	}
	config := untext(want.OtherConfig)
	mark, claimed := p.externalIDs[markVIF]
	if text(only(p.otherConfig, append(keysOf(config), list(mark)...))) != want.OtherConfig {
		t.put([3]string{tablePort, p.uuid, "other_config"}, list(mark), config)
	}
	if keys := strings.Join(keysOf(config), ","); !claimed || mark != keys {
		t.put([3]string{tablePort, p.uuid, "external_ids"}, nil, map[string]string{markVIF: keys})
	}
}

// kill puts a port that no plan has on the dead VLAN and takes our keys away.
func kill(t *txn, p *portRow) {
	deaden(t, p)
	mark, claimed := p.externalIDs[markVIF]
	if !claimed {
		return
	}
	t.put([3]string{tablePort, p.uuid, "other_config"}, list(mark), nil)
	t.put([3]string{tablePort, p.uuid, "external_ids"}, []string{markVIF}, nil)
}

func deaden(t *txn, p *portRow) {
	if !isDead(p) {
		t.update(tablePort, p.uuid, deadColumns())
	}
}

func deadColumns() map[string]any {
	return map[string]any{"tag": deadVLAN, "vlan_mode": "trunk", "trunks": deadVLAN}
}

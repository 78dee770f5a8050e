package ovsdb

import (
	"context"
	"fmt"
)

// Plug is a VIF row as os-vif writes it (dataplane.md section 6.2, step 3).
type Plug struct {
	Device   string // the interface: "qvo…"
	Bridge   string // "br-int"
	PortID   string // external_ids:iface-id
	MAC      string // external_ids:attached-mac
	Instance string // external_ids:vm-uuid, "" for none
}

func (p Plug) externalIDs() map[string]string {
	ids := map[string]string{"iface-id": p.PortID, "attached-mac": p.MAC, "iface-status": "active"}
	if p.Instance != "" {
		ids["vm-uuid"] = p.Instance
	}
	return ids
}

// PlugVIF adds the row of a VIF in one transaction, on the dead VLAN until an
// agent has filtered it. A row that is there and belongs to the same port keeps
// its wiring. A port of that name that is on another bridge, or that an agent
// made, is an error.
func (d *DB) PlugVIF(ctx context.Context, p Plug) error {
	x, err := d.look(ctx)
	if err != nil {
		return err
	}
	if i := x.ifaces[p.Device]; i != nil && i.externalIDs["iface-id"] == p.PortID {
		if x, err = d.release(ctx, x, []string{p.Device}); err != nil {
			return err
		}
	}
	bridge := x.bridges[p.Bridge]
	if bridge == nil {
		return fmt.Errorf("ovsdb: plug %s: there is no bridge %s", p.Device, p.Bridge)
	}
	t, port, iface := newTxn(), x.ports[p.Device], x.ifaces[p.Device]
	switch {
	case port == nil || iface == nil:
		row := deadColumns()
		marks := map[string]string{}
		noteDevice(marks, p.Device)
		row["name"], row["external_ids"] = p.Device, wireMap(marks)
		row["interfaces"] = wireNamed(t.insert(tableInterface, map[string]any{"name": p.Device, "external_ids": wireMap(p.externalIDs())}))
		t.mutate(tableBridge, bridge.uuid, [3]any{"ports", "insert", wireSet(wireNamed(t.insert(tablePort, row)))})
		t.takeUp = true
	case port.externalIDs[markOwner] != "" || x.on[port.uuid] != bridge:
		return fmt.Errorf("ovsdb: plug %s: a port of that name exists for something else", p.Device)
	default:
		want := p.externalIDs()
		if iface.externalIDs["iface-id"] != p.PortID {
			kill(t, port)
		}
		if text(only(iface.externalIDs, keysOf(want))) != text(want) {
			t.put([3]string{tableInterface, iface.uuid, "external_ids"}, nil, want)
		}
	}
	config, err := d.transact(ctx, "plug "+p.Device, t)
	if err != nil {
		return err
	}
	d.takenUp(ctx, config)
	return d.plugged(ctx, p.Device)
}

// plugged says what ovs-vswitchd found wrong with a device. One that it has
// not looked at yet is not wrong: it may not even run.
func (d *DB) plugged(ctx context.Context, device string) error {
	x, err := d.look(ctx)
	if err != nil {
		return err
	}
	if i := x.ifaces[device]; i != nil && (i.err != "" || i.ofport == "-1") {
		return fmt.Errorf("ovsdb: plug %s: %w", device, x.health(device))
	}
	return nil
}

// UnplugVIF removes the row that [DB.PlugVIF] added for a port. A row that is
// not there, or is another port's, is left as it is.
func (d *DB) UnplugVIF(ctx context.Context, p Plug) error {
	x, err := d.look(ctx)
	if err != nil {
		return err
	}
	port, iface := x.ports[p.Device], x.ifaces[p.Device]
	if port == nil || iface == nil || iface.externalIDs["iface-id"] != p.PortID {
		return nil
	}
	t := newTxn()
	x.dropPort(t, port)
	t.takeUp = true
	config, err := d.transact(ctx, "unplug "+p.Device, t)
	if err == nil {
		d.takenUp(ctx, config)
	}
	return err
}

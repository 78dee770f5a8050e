package openflow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"neutrino/host"
)

// entry is a flow as it is on the switch.
type entry struct {
	flow   host.Flow
	cookie uint64
	match  []byte   // OXM fields
	ports  []uint32 // the port numbers it names
}

// bridge is what is known of one bridge.
type bridge struct {
	name   string
	socket string
	shared bool // an operator's: ours are only the flows with our mark
	notify func()

	conn    *conn
	err     error // why there is no connection
	stale   bool  // the flows must be read again
	numbers map[string]uint32
	names   map[uint32]string
	flows   map[host.FlowKey]*entry
	foreign map[host.FlowKey]struct{} // shared: what is not ours
}

// refresh makes what is known of the bridge true: it connects when there is no
// connection, takes in what the switch has told, and reads the flows when
// something made them doubtful. changed is whether flows may be others than before.
func (b *bridge) refresh(ctx context.Context) (changed bool, err error) {
	if b.conn == nil || !b.conn.alive() {
		changed = len(b.flows) > 0
		b.reset()
		if err := b.connect(ctx); err != nil {
			b.reset()
			return changed, b.failure(err)
		}
	}
	if err := b.absorb(); err != nil {
		b.reset()
		return true, b.failure(err)
	}
	if !b.stale {
		return changed, nil
	}
	if err := b.dump(ctx); err != nil {
		b.reset()
		return true, b.failure(err)
	}
	return true, nil
}

// failure names the bridge; a bridge that is not there is an Absent.
func (b *bridge) failure(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return &host.Absent{What: "bridge " + b.name}
	}
	return fmt.Errorf("openflow: %s: %w", b.name, err)
}

// reset forgets everything and closes the connection.
func (b *bridge) reset() {
	if b.conn != nil {
		b.conn.close()
	}
	b.conn, b.stale = nil, true
	b.numbers, b.names, b.flows, b.foreign = nil, nil, nil, nil
}

// connect sets the connection up. The flow monitor is on before anything is
// read, so that no change can fall between.
func (b *bridge) connect(ctx context.Context) error {
	c, err := dial(ctx, b.socket, b.notify)
	if err != nil {
		return err
	}
	b.conn = c
	if err := c.sendWithin(ctx, configMessage(1)); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	if _, err := c.ask(ctx, typeFeaturesRep, func(xid uint32) []byte { return finish(begin(nil, typeFeatures, xid), 0) }); err != nil {
		return fmt.Errorf("features: %w", err)
	}
	if err := c.multipart(ctx, partFlowMonitor, monitorRequest(), func([]byte) error { return nil }); err != nil {
		return fmt.Errorf("flow monitor: %w", err)
	}
	b.numbers, b.names = map[string]uint32{}, map[uint32]string{}
	err = c.multipart(ctx, partPorts, nil, func(part []byte) error {
		ports, err := decodePorts(part)
		for _, p := range ports {
			b.plug(p)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ports: %w", err)
	}
	b.stale = true
	return nil
}

// plug notes a port's number. A name that cannot stand in a flow's text stays
// a number there.
func (b *bridge) plug(p port) {
	ref, err := parsePort(p.name, "")
	if p.number >= portFirstReserved || err != nil || ref.name != p.name || b.names[p.number] == p.name {
		return
	}
	b.unplug(p.number)
	if old, ok := b.numbers[p.name]; ok {
		b.unplug(old)
	}
	b.numbers[p.name], b.names[p.number] = p.number, p.name
	b.doubt(p.number)
}

func (b *bridge) unplug(number uint32) {
	name, ok := b.names[number]
	if !ok {
		return
	}
	delete(b.names, number)
	delete(b.numbers, name)
	b.doubt(number)
}

// doubt has the flows read again if one of them names the port.
func (b *bridge) doubt(number uint32) {
	if b.stale {
		return
	}
	for _, e := range b.flows {
		if slices.Contains(e.ports, number) {
			b.stale = true
			return
		}
	}
}

const portDeleted = 1

// absorb takes in the asynchronous messages.
func (b *bridge) absorb() error {
	updates, lost := b.conn.takeUpdates()
	if lost {
		// Port changes may be among the lost ones: start afresh.
		return errors.New("more changes at once than can be kept")
	}
	for _, m := range updates {
		if m.kind != typePortStatus {
			if err := b.foreignWrite(m.body); err != nil {
				return fmt.Errorf("flow monitor: %w", err)
			}
			continue
		}
		if len(m.body) < 8 {
			return errShort
		}
		ports, err := decodePorts(m.body[8:])
		if err != nil {
			return fmt.Errorf("port status: %w", err)
		}
		for _, p := range ports {
			if m.body[0] == portDeleted {
				b.unplug(p.number)
			} else {
				b.plug(p)
			}
		}
	}
	return nil
}

// foreignWrite notes that somebody else wrote. On a bridge of an operator that
// is nothing unless a flow of ours is concerned.
func (b *bridge) foreignWrite(body []byte) error {
	if b.stale {
		return nil
	}
	if !b.shared {
		b.stale = true
		return nil
	}
	d := decoder{bridge: b.name, names: b.names}
	var bad error
	lost, err := foreignUpdate(body[min(8, len(body)):], func(raw rawFlow) {
		k, _, err := d.flow(raw)
		if err != nil {
			bad = err
			return
		}
		_, ours := b.flows[k]
		if ours || raw.cookie&CookieMask == CookieMark {
			b.stale = true
			return
		}
		b.foreign[k] = struct{}{}
	})
	b.stale = b.stale || lost
	return errors.Join(err, bad)
}

// dump reads every flow of the bridge.
func (b *bridge) dump(ctx context.Context) error {
	b.flows, b.foreign = map[host.FlowKey]*entry{}, map[host.FlowKey]struct{}{}
	b.stale = false
	d := decoder{bridge: b.name, names: b.names}
	err := b.conn.multipart(ctx, partFlow, flowRequest(), func(part []byte) error {
		for len(part) > 0 {
			raw, rest, err := nextFlow(part)
			if err != nil {
				return err
			}
			part = rest
			k, e, err := d.flow(raw)
			if err != nil {
				return err
			}
			if b.shared && raw.cookie&CookieMask != CookieMark {
				b.foreign[k] = struct{}{}
				continue
			}
			b.flows[k] = e
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	return nil
}

// apply makes the changes in the switch and in what is known of it.
func (b *bridge) apply(ctx context.Context, changes []*change) []error {
	if len(changes) == 0 {
		return nil
	}
	made, failed, err := b.conn.bundle(ctx, changes)
	for _, ch := range made {
		if ch.mod.command == commandDeleteStrict {
			delete(b.flows, ch.key)
			continue
		}
		b.flows[ch.key] = &entry{flow: ch.flow, cookie: ch.mod.cookie, match: ch.mod.match, ports: ch.used}
	}
	if len(failed) > 0 {
		b.stale = true
	}
	if err == nil {
		return failed
	}
	b.reset()
	err = b.failure(err)
	failed = failed[:0]
	for _, ch := range changes {
		failed = append(failed, itemError(ch.key, ch.why, err))
	}
	return failed
}

// put is the change that adds a flow, or why it has to wait.
func (b *bridge) put(k host.FlowKey, f host.Flow, t *template) (*change, error) {
	wire, numbers, missing := t.resolve(b.numbers)
	if missing != "" {
		return nil, &host.Absent{What: "interface " + missing}
	}
	k.Match, f.Actions = t.match, t.actions
	if _, taken := b.foreign[k]; taken {
		return nil, errors.New("a flow that is not ours has this match")
	}
	return &change{key: k, why: f.Why, flow: f, used: numbers, mod: flowMod{
		command: commandAdd, table: k.Table, priority: k.Priority, cookie: stamp(k, f.Actions, numbers),
		match: wire[:t.matchLen:t.matchLen], instructions: wire[t.matchLen:],
	}}, nil
}

// drop is the change that removes a flow, if it is there: just that flow, not
// another one that took its place since.
func (b *bridge) drop(k host.FlowKey, f host.Flow) *change {
	e := b.flows[k]
	if e == nil {
		return nil
	}
	return &change{key: k, why: f.Why, mod: flowMod{
		command: commandDeleteStrict, table: k.Table, priority: k.Priority,
		cookie: e.cookie, cookieMask: ^uint64(0), match: e.match,
	}}
}

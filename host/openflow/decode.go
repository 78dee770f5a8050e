package openflow

import (
	"fmt"

	"neutrino/host"
)

// decoder turns a flow of a switch into canonical text. Its buffers are used
// again from one flow to the next.
type decoder struct {
	bridge  string
	names   map[uint32]string
	match   match
	actions []action
	ports   []uint32
	text    []byte
}

// flow decodes one flow. A flow that is not exactly as this package would have
// written it (other cookie, timeouts) gets actions that no plan can want.
func (d *decoder) flow(raw rawFlow) (host.FlowKey, *entry, error) {
	k := host.FlowKey{Bridge: d.bridge, Table: raw.table, Priority: raw.priority}
	var err error
	if d.match, err = decodeMatch(raw.match, d.match[:0]); err != nil {
		return k, nil, fmt.Errorf("match: %w", err)
	}
	if d.actions, err = decodeInstructions(raw.instructions, d.actions[:0]); err != nil {
		return k, nil, fmt.Errorf("actions: %w", err)
	}
	d.ports = d.ports[:0]
	for i := range d.match {
		if d.match[i].f == fieldInPort {
			d.name(&d.match[i].port)
		}
	}
	for i := range d.actions {
		if a := &d.actions[i]; a.op == opOutput || a.op == opResubmit {
			d.name(&a.port)
		}
	}
	d.text = d.match.appendText(d.text[:0])
	k.Match = string(d.text)
	d.text = appendActions(d.text[:0], d.actions, d.match.hasVLAN())
	e := &entry{cookie: raw.cookie, match: raw.match}
	e.flow.Actions = string(d.text)
	if len(d.ports) > 0 {
		e.ports = append(make([]uint32, 0, len(d.ports)), d.ports...)
	}
	if raw.cookie != stamp(k, e.flow.Actions, e.ports) {
		e.flow.Actions = fmt.Sprintf("cookie=0x%x,%s", raw.cookie, e.flow.Actions)
	}
	if raw.idle != 0 || raw.hard != 0 {
		e.flow.Actions = fmt.Sprintf("idle_timeout=%d,hard_timeout=%d,%s", raw.idle, raw.hard, e.flow.Actions)
	}
	return k, e, nil
}

func (d *decoder) name(p *portRef) {
	if p.reserved() {
		return
	}
	d.ports = append(d.ports, p.number)
	if n, ok := d.names[p.number]; ok {
		*p = portRef{name: n}
	}
}

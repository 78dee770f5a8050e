// Package hosttest holds whole fakes of the hands, for the tests of what is
// above them, and the conformance suite that a fake and a real hand both pass.
package hosttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"neutrino/host"
	"neutrino/reconcile"
)

// ErrCrashed is the answer of every surface after the machine's last write.
var ErrCrashed = errors.New("hosttest: crashed")

// Machine is what the surfaces of one fake host share: it counts the writes,
// and can stop them as a killed agent would.
type Machine struct {
	// Writes counts the items put and dropped.
	Writes int
	// After is called after each write, with the host as it is then.
	After func()

	limit   int
	limited bool
	crashed bool
}

// CrashAfter lets n more writes through; after that every call fails.
func (m *Machine) CrashAfter(n int) { m.limit, m.limited, m.crashed = m.Writes+n, true, false }

// Revive takes the limit away.
func (m *Machine) Revive() { m.limited, m.crashed = false, false }

// Crashed reports whether the limit has stopped a write.
func (m *Machine) Crashed() bool { return m.crashed }

func (m *Machine) write(do func()) error {
	if m.crashed || m.limited && m.Writes >= m.limit {
		m.crashed = true
		return ErrCrashed
	}
	m.Writes++
	do()
	if m.After != nil {
		m.After()
	}
	return nil
}

// Fake is a surface in memory. Its fields may be changed between calls.
type Fake[K comparable, V any] struct {
	Machine *Machine
	Items   map[K]V
	// Item, when set, may fail single items of a put or drop: host.ItemError,
	// with host.Absent in it for what is not there yet.
	Item func(K, V) error
	// Broken, when set, fails every call.
	Broken error
}

// NewFake is an empty surface of the machine.
func NewFake[K comparable, V any](m *Machine) *Fake[K, V] {
	return &Fake[K, V]{Machine: m, Items: map[K]V{}}
}

// Read is a copy of the items.
func (f *Fake[K, V]) Read(context.Context) (map[K]V, error) {
	if f.Machine.crashed {
		return nil, ErrCrashed
	}
	return maps.Clone(f.Items), f.Broken
}

// Apply writes item after item, in the order of their texts.
func (f *Fake[K, V]) Apply(_ context.Context, d reconcile.Diff[K, V]) error {
	if f.Broken != nil {
		return f.Broken
	}
	var errs []error
	for _, k := range ordered(d.Put) {
		if err := f.fault(k, d.Put[k]); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := f.Machine.write(func() { f.Items[k] = d.Put[k] }); err != nil {
			return err
		}
	}
	for _, k := range ordered(d.Drop) {
		if err := f.fault(k, d.Drop[k]); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := f.Machine.write(func() { delete(f.Items, k) }); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

func (f *Fake[K, V]) fault(k K, v V) error {
	if f.Item == nil {
		return nil
	}
	return f.Item(k, v)
}

func ordered[K comparable, V any](m map[K]V) []K {
	return slices.SortedFunc(maps.Keys(m), func(a, b K) int {
		x, y := fmt.Sprint(a), fmt.Sprint(b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

// VIFs is the surface of what others plugged into the integration bridge.
type VIFs struct {
	Machine *Machine
	// Plugged is the interfaces by iface-id. A new one is on no VLAN at all.
	Plugged map[string]Interface
}

// Interface is one plugged interface. Claimed is set while a plan has it.
type Interface struct {
	host.VIF
	Claimed bool
}

// Plug does what Nova does: the interface comes with its MAC and is not isolated.
func (f *VIFs) Plug(id, mac string) { f.Plugged[id] = Interface{VIF: host.VIF{MAC: mac}} }

// Unplug takes the interface away.
func (f *VIFs) Unplug(id string) { delete(f.Plugged, id) }

// Read leaves out what is at rest: dead and in no plan.
func (f *VIFs) Read(context.Context) (map[string]host.VIF, error) {
	if f.Machine.crashed {
		return nil, ErrCrashed
	}
	out := map[string]host.VIF{}
	for id, i := range f.Plugged {
		if i.Claimed || !i.Dead {
			out[id] = i.VIF
		}
	}
	return out, nil
}

// Apply wires what is plugged and puts what is dropped on the dead VLAN.
func (f *VIFs) Apply(_ context.Context, d reconcile.Diff[string, host.VIF]) error {
	var errs []error
	for _, id := range ordered(d.Put) {
		want := d.Put[id]
		have, ok := f.Plugged[id]
		var fault error
		switch {
		case !ok:
			fault = &host.Absent{What: "interface of port " + id}
		case have.MAC != want.MAC:
			fault = fmt.Errorf("interface was plugged with MAC %s, the port has %s", have.MAC, want.MAC)
		}
		if fault != nil {
			errs = append(errs, &host.ItemError{Item: "vif " + id, Why: want.Why, Err: fault})
			continue
		}
		if err := f.Machine.write(func() { f.Plugged[id] = Interface{VIF: want, Claimed: true} }); err != nil {
			return err
		}
	}
	for _, id := range ordered(d.Drop) {
		have, ok := f.Plugged[id]
		if !ok {
			continue
		}
		dead := host.VIF{MAC: have.MAC, Tag: deadVLAN, Dead: true}
		if err := f.Machine.write(func() { f.Plugged[id] = Interface{VIF: dead} }); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

const deadVLAN = 4095

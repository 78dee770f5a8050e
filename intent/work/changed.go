package work

import (
	"iter"

	"neutrino"
	"neutrino/store"
)

// PutPort stores a port. Every change of a port goes through here or
// [Tx.DeletePort], so that what has to be told of it is found in one place, and
// no feature can forget it: see [Tx.ChangedPorts].
func (tx *Tx) PutPort(p *neutrino.Port) {
	noted(tx, &tx.ports, store.Ports, p.ID)
	store.Put(tx.Tx, store.Ports, p)
}

// DeletePort removes a port's row.
func (tx *Tx) DeletePort(id neutrino.ID) {
	noted(tx, &tx.ports, store.Ports, id)
	store.Delete(tx.Tx, store.Ports, id)
}

// PutFloatingIP stores a floating IP, as PutPort does a port.
func (tx *Tx) PutFloatingIP(f *neutrino.FloatingIP) {
	noted(tx, &tx.floatingIPs, store.FloatingIPs, f.ID)
	store.Put(tx.Tx, store.FloatingIPs, f)
}

// DeleteFloatingIP removes a floating IP's row.
func (tx *Tx) DeleteFloatingIP(id neutrino.ID) {
	noted(tx, &tx.floatingIPs, store.FloatingIPs, id)
	store.Delete(tx.Tx, store.FloatingIPs, id)
}

// changes are the objects of one kind that a transaction changed, in the order
// of their first change, as they were before it.
type changes[T any] struct {
	ids []neutrino.ID
	was map[neutrino.ID]*T // nil for a new one
}

// noted keeps what an object was before its first change.
func noted[T any](tx *Tx, c *changes[T], t *store.Table[T], id neutrino.ID) {
	if _, known := c.was[id]; known {
		return
	}
	if c.was == nil {
		c.was = map[neutrino.ID]*T{}
	}
	old, _ := store.Peek(tx.Tx, t, id)
	c.ids, c.was[id] = append(c.ids, id), old
}

// ChangedPorts yields each port that the transaction changed, as it was before
// and as it is now; either may be nil.
func (tx *Tx) ChangedPorts() iter.Seq2[*neutrino.Port, *neutrino.Port] {
	return pairs(tx, &tx.ports, store.Ports)
}

// ChangedFloatingIPs is ChangedPorts for floating IPs.
func (tx *Tx) ChangedFloatingIPs() iter.Seq2[*neutrino.FloatingIP, *neutrino.FloatingIP] {
	return pairs(tx, &tx.floatingIPs, store.FloatingIPs)
}

func pairs[T any](tx *Tx, c *changes[T], t *store.Table[T]) iter.Seq2[*T, *T] {
	return func(yield func(*T, *T) bool) {
		for _, id := range c.ids {
			now, _ := store.Peek(tx.Tx, t, id)
			if !yield(c.was[id], now) {
				return
			}
		}
	}
}

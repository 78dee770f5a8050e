package auth

import (
	"container/list"
	"sync"
	"time"
)

// memory keeps values for a while, by a hash of what they were found out from,
// and forgets the ones that nobody asked for longest when it is full.
type memory[V any] struct {
	mu    sync.Mutex
	limit int
	order *list.List // of remembered[V], asked for last in front
	byKey map[[32]byte]*list.Element
}

type remembered[V any] struct {
	key   [32]byte
	value V
	until time.Time
}

func newMemory[V any](limit int) *memory[V] {
	return &memory[V]{limit: limit, order: list.New(), byKey: map[[32]byte]*list.Element{}}
}

// get is the value of a key, as long as it holds.
func (m *memory[V]) get(key [32]byte, now time.Time) (value V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byKey[key]
	if e == nil {
		return value, false
	}
	r := e.Value.(*remembered[V])
	if !now.Before(r.until) {
		m.order.Remove(e)
		delete(m.byKey, key)
		return value, false
	}
	m.order.MoveToFront(e)
	return r.value, true
}

// put remembers a value until a time.
func (m *memory[V]) put(key [32]byte, value V, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byKey[key]; e != nil {
		e.Value = &remembered[V]{key, value, until}
		m.order.MoveToFront(e)
		return
	}
	m.byKey[key] = m.order.PushFront(&remembered[V]{key, value, until})
	if m.order.Len() > m.limit {
		last := m.order.Back()
		m.order.Remove(last)
		delete(m.byKey, last.Value.(*remembered[V]).key)
	}
}

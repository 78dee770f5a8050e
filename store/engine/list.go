package engine

import (
	"iter"
	"sort"
)

// KV is one key with its value. Both may be parts of something bigger: who keeps
// them for long copies them. Value must not be changed by the reader.
type KV struct {
	Key   string
	Value []byte
	Mod   int64 // revision of the last change
}

// List is keys in order with their values, which are looked at one by one: of a
// big store there is no second form in memory. It may be read by many goroutines.
type List struct {
	from, to int
	at       func(i int) KV
}

// NewList is a list of so many keys; at gives each of them.
func NewList(n int, at func(i int) KV) List { return List{0, n, at} }

// ListOf is a list of keys that are in order.
func ListOf(kvs []KV) List { return NewList(len(kvs), func(i int) KV { return kvs[i] }) }

// Len is the number of keys.
func (l List) Len() int { return l.to - l.from }

// At is the key at a position, from 0 on.
func (l List) At(i int) KV { return l.at(l.from + i) }

// All yields the keys in order.
func (l List) All() iter.Seq[KV] {
	return func(yield func(KV) bool) {
		for i := range l.Len() {
			if !yield(l.At(i)) {
				return
			}
		}
	}
}

// Under is the part of the list whose keys begin with the prefix.
func (l List) Under(prefix string) List {
	first := func(key string) int {
		return l.from + sort.Search(l.Len(), func(i int) bool { return l.At(i).Key >= key })
	}
	part := l
	part.from = first(prefix)
	if end := PrefixEnd(prefix); end != "" {
		part.to = first(end)
	}
	return part
}

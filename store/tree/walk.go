package tree

import "slices"

// Entry is an entry as a walk shows it: Key and Value are good until the next
// one, and not to be changed.
type Entry[R any] struct {
	Key   []byte
	Value []byte
	Ref   R
}

// Has reports whether the entry has the key.
func (e Entry[R]) Has(key string) bool { return string(e.Key) == key }

// Scan visits all entries in order until visit is false.
func (t *Tree[R]) Scan(visit func(Entry[R]) bool) { t.Ascend("", "", visit) }

// Ascend visits the entries from the key, and of that key from the tie on, until
// visit is false.
func (t *Tree[R]) Ascend(key, tie string, visit func(Entry[R]) bool) {
	if t.root != nil {
		w := walk[R]{t, visit}
		w.up(t.root, key, tie)
	}
}

// Back visits all entries from the last to the first until visit is false.
func (t *Tree[R]) Back(visit func(Entry[R]) bool) {
	if t.root != nil {
		w := walk[R]{t, visit}
		w.back(t.root)
	}
}

// Descend visits the entries below the key, and those that have it and are below
// the tie, from the last to the first until visit is false.
func (t *Tree[R]) Descend(key, tie string, visit func(Entry[R]) bool) {
	if t.root != nil {
		w := walk[R]{t, visit}
		w.down(t.root, key, tie)
	}
}

// walk is one walk; its methods are false when visit was.
type walk[R any] struct {
	*Tree[R]
	visit func(Entry[R]) bool
}

func (w walk[R]) up(n *node[R], key, tie string) bool {
	if n.inner == nil {
		return w.leafFrom(n, w.find(n, key, tie))
	}
	i := n.child(key, tie)
	if !w.up(n.children[i], key, tie) {
		return false
	}
	for _, c := range n.children[i+1:] {
		if !w.all(c) {
			return false
		}
	}
	return true
}

func (w walk[R]) all(n *node[R]) bool {
	if n.inner == nil {
		return w.leafFrom(n, spot{})
	}
	for _, c := range n.children {
		if !w.all(c) {
			return false
		}
	}
	return true
}

// leafFrom visits the entries of a leaf from a spot on.
func (w walk[R]) leafFrom(n *node[R], from spot) bool {
	if from.index == len(n.refs) {
		return true
	}
	key := make([]byte, 0, 64)
	if it := itemAt(n.leaf, from.at, w.valued); it.shared > 0 {
		key = append(key, keyAt(n.leaf, from.at, w.valued)[:it.shared]...)
	}
	for at := from.at; from.index < len(n.refs); from.index++ {
		it := itemAt(n.leaf, at, w.valued)
		key, at = append(key[:it.shared], it.rest...), it.end
		if !w.visit(Entry[R]{key, it.value, n.refs[from.index]}) {
			return false
		}
	}
	return true
}

func (w walk[R]) back(n *node[R]) bool {
	if n.inner == nil {
		return w.leafTo(n, len(n.refs))
	}
	for _, c := range slices.Backward(n.children) {
		if !w.back(c) {
			return false
		}
	}
	return true
}

func (w walk[R]) down(n *node[R], key, tie string) bool {
	if n.inner == nil {
		return w.leafTo(n, w.find(n, key, tie).index)
	}
	i := n.child(key, tie)
	if !w.down(n.children[i], key, tie) {
		return false
	}
	for i--; i >= 0; i-- {
		if !w.back(n.children[i]) {
			return false
		}
	}
	return true
}

// leafTo visits the first entries of a leaf, the last of them first. Their keys
// are made one after the other, so all are before any is visited.
func (w walk[R]) leafTo(n *node[R], count int) bool {
	var buf [maxEntries * 64]byte
	keys, ends := buf[:0], make([]int, 1, maxEntries+1)
	values := make([][]byte, count)
	for i, at := 0, 0; i < count; i++ {
		it := itemAt(n.leaf, at, w.valued)
		if i > 0 {
			keys = append(keys, keys[ends[i-1]:ends[i-1]+it.shared]...)
		}
		keys = append(keys, it.rest...)
		ends, values[i], at = append(ends, len(keys)), it.value, it.end
	}
	for i := count - 1; i >= 0; i-- {
		if !w.visit(Entry[R]{keys[ends[i]:ends[i+1]], values[i], n.refs[i]}) {
			return false
		}
	}
	return true
}

// Package tree is the store station's ordered set: a B+ tree from texts to values
// whose copies cost nothing, and whose leaves hold of each text only what the one
// before it has not, so that millions of keys take little memory, are searched
// without a look elsewhere, and are nothing for the garbage collector to walk.
package tree

import (
	"bytes"
	"slices"
	"strings"
)

// How many entries a leaf has at most, and how many children an inner node: a
// change copies one node of each level.
const (
	maxEntries  = 32
	maxChildren = 32
)

// Tree is a set of entries in the order of their keys. [NewMap] and [NewIndex]
// make one. A tree may be read by many goroutines while none changes it.
type Tree[R any] struct {
	valued bool
	tie    func(R) string // orders entries with the same key; nil: there are none
	root   *node[R]       // nil is empty
	owner  *owner
}

// owner marks the nodes that a tree made itself: only these it may change in
// place.
type owner struct{ _ byte }

// node is a leaf with entries, or an inner node: most are leaves.
type node[R any] struct {
	owner *owner
	size  int // of the entries below
	leaf  []byte
	refs  []R // one for each entry of the leaf
	*inner[R]
}

// inner is what an inner node has. Bound i is not above any entry of child i+1, and
// above all of child i.
type inner[R any] struct {
	bounds   []bound
	children []*node[R]
}

// bound is a place between entries.
type bound struct{ key, tie string }

// Map is a tree in which each key stands once and has a value of some bytes.
type Map = Tree[struct{}]

// NewMap makes an empty one.
func NewMap() *Map { return &Map{valued: true, owner: new(owner)} }

// NewIndex makes an empty tree in which a key stands with many refs, each of
// which has another tie; those of one key are in the order of their ties.
func NewIndex[R any](tie func(R) string) *Tree[R] { return &Tree[R]{tie: tie, owner: new(owner)} }

// Edit is a copy to change, which costs nothing: it shares all nodes with t and
// copies those that it changes. From now on t may be read only.
func (t *Tree[R]) Edit() *Tree[R] {
	return &Tree[R]{valued: t.valued, tie: t.tie, root: t.root, owner: new(owner)}
}

// Len is the number of entries.
func (t *Tree[R]) Len() int {
	if t.root == nil {
		return 0
	}
	return t.root.size
}

// child is the position of the child that an entry belongs to.
func (n *node[R]) child(key, tie string) int {
	low, high := 0, len(n.bounds)
	for low < high {
		middle := int(uint(low+high) >> 1)
		b := &n.bounds[middle]
		c := strings.Compare(b.key, key)
		if c == 0 {
			c = strings.Compare(b.tie, tie)
		}
		if c <= 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// find is the spot of an entry in a leaf.
func (t *Tree[R]) find(n *node[R], key, tie string) spot {
	s := find(n.leaf, key, t.valued)
	if !s.found || t.tie == nil {
		return s
	}
	// Entries with this key follow each other; each after the first is as long as
	// the next.
	first, each, last := itemAt(n.leaf, s.at, t.valued), 0, s.index+1
	next := spot{at: first.end}
	for next.at < len(n.leaf) {
		it := itemAt(n.leaf, next.at, t.valued)
		if it.shared < len(key) || len(it.rest) > 0 {
			next.after = it.shared
			break
		}
		each, next.at, last = it.end-next.at, it.end, last+1
	}
	i, found := slices.BinarySearchFunc(n.refs[s.index:last], tie, func(r R, tie string) int {
		return strings.Compare(t.tie(r), tie)
	})
	s.found = found
	if i == 0 {
		return s
	}
	s.index, s.before = s.index+i, len(key)
	s.at = first.end + (i-1)*each
	if s.index == last {
		s.after = next.after
	}
	return s
}

// leafOf is the leaf that an entry belongs to.
func (t *Tree[R]) leafOf(key, tie string) *node[R] {
	n := t.root
	for n.inner != nil {
		n = n.children[n.child(key, tie)]
	}
	return n
}

// Get is the value of a key. It is a part of the tree, not to be changed.
func (t *Tree[R]) Get(key string) (value []byte, ok bool) {
	if t.root == nil {
		return nil, false
	}
	n := t.leafOf(key, "")
	s := find(n.leaf, key, t.valued)
	if !s.found {
		return nil, false
	}
	return itemAt(n.leaf, s.at, t.valued).value, true
}

// Find is the ref of an entry.
func (t *Tree[R]) Find(key, tie string) (ref R, ok bool) {
	if t.root == nil {
		return ref, false
	}
	n := t.leafOf(key, tie)
	s := t.find(n, key, tie)
	if !s.found {
		return ref, false
	}
	return n.refs[s.index], true
}

// Begins reports whether a key begins with the prefix.
func (t *Tree[R]) Begins(prefix string) bool {
	if t.root == nil {
		return false
	}
	n := t.leafOf(prefix, "")
	if s := find(n.leaf, prefix, t.valued); s.at < len(n.leaf) {
		return s.after == len(prefix)
	}
	begins := false // the next key is in another leaf
	t.Ascend(prefix, "", func(e Entry[R]) bool {
		begins = bytes.HasPrefix(e.Key, []byte(prefix))
		return false
	})
	return begins
}

// Rank is how many entries are below the key, or have it and are below the tie.
func (t *Tree[R]) Rank(key, tie string) int {
	n, below := t.root, 0
	if n == nil {
		return 0
	}
	for n.inner != nil {
		at := n.child(key, tie)
		for _, c := range n.children[:at] {
			below += c.size
		}
		n = n.children[at]
	}
	return below + t.find(n, key, tie).index
}

// own is a node that t may change: n itself, or a copy.
func (t *Tree[R]) own(n *node[R]) *node[R] {
	if n.owner == t.owner {
		return n
	}
	// The bounds change seldom: whoever changes them takes a copy then.
	c := &node[R]{owner: t.owner, size: n.size}
	if n.inner == nil {
		c.leaf, c.refs = slices.Clone(n.leaf), slices.Clone(n.refs)
	} else {
		c.inner = &inner[R]{slices.Clip(n.bounds), slices.Clone(n.children)}
	}
	return c
}

// roomy is a copy with room for so many more.
func roomy[E any](list []E, more int) []E { return append(make([]E, 0, len(list)+more), list...) }

// inserted has e at position i, and takes no more memory than that needs. A list
// without room is copied.
func inserted[E any](list []E, i int, e E) []E {
	if len(list) == cap(list) {
		list = roomy(list, 2+len(list)/8)
	}
	return slices.Insert(list, i, e)
}

// split takes the upper half of n away into a new node; when entries come in
// order, only the last, so that what is complete stays full.
func (t *Tree[R]) split(n *node[R], ascending bool) *node[R] {
	right := &node[R]{owner: t.owner}
	if n.inner == nil {
		at := n.size / 2
		if ascending {
			at = n.size - 1
		}
		n.leaf, right.leaf = cut(n.leaf, offset(n.leaf, at, t.valued), t.valued)
		right.refs, n.refs = slices.Clone(n.refs[at:]), slices.Clone(n.refs[:at])
	} else {
		at := len(n.children) / 2
		if ascending {
			at = len(n.children) - 2 // an inner node has two children or more
		}
		right.inner = &inner[R]{slices.Clone(n.bounds[at:]), slices.Clone(n.children[at:])}
		n.bounds, n.children = slices.Clone(n.bounds[:at-1]), slices.Clone(n.children[:at])
	}
	right.count()
	n.count()
	return right
}

func (n *node[R]) count() {
	if n.inner == nil {
		n.size = len(n.refs)
		return
	}
	n.size = total(n.children)
}

// first is the place of the lowest entry below n.
func (t *Tree[R]) first(n *node[R]) bound {
	for n.inner != nil {
		n = n.children[0]
	}
	b := bound{key: string(itemAt(n.leaf, 0, t.valued).rest)}
	if t.tie != nil {
		b.tie = strings.Clone(t.tie(n.refs[0])) // what it is a part of may go
	}
	return b
}

// Drop removes a key and says which value it had.
func (t *Tree[R]) Drop(key string) (old []byte, had bool) {
	_, old, had = t.take(key, "")
	return old, had
}

// Delete removes an entry and returns its ref.
func (t *Tree[R]) Delete(key, tie string) (old R, found bool) {
	old, _, found = t.take(key, tie)
	return old, found
}

func (t *Tree[R]) take(key, tie string) (old R, value []byte, found bool) {
	if t.root == nil {
		return old, nil, false
	}
	n := t.leafOf(key, tie)
	s := t.find(n, key, tie)
	if !s.found {
		return old, nil, false
	}
	old, value = n.refs[s.index], slices.Clone(itemAt(n.leaf, s.at, t.valued).value)
	t.root = t.own(t.root)
	t.remove(t.root, key, tie)
	switch {
	case t.root.size == 0:
		t.root = nil
	case t.root.inner != nil && len(t.root.children) == 1:
		t.root = t.root.children[0]
	}
	return old, value, true
}

// remove takes an entry, which is there, away from below n, which is t's own.
func (t *Tree[R]) remove(n *node[R], key, tie string) {
	n.size--
	if n.inner == nil {
		s := t.find(n, key, tie)
		n.leaf = remove(n.leaf, s, t.valued)
		n.refs = slices.Delete(n.refs, s.index, s.index+1)
		return
	}
	i := n.child(key, tie)
	n.children[i] = t.own(n.children[i])
	t.remove(n.children[i], key, tie)
	t.join(n, i)
}

// small reports whether a node is a quarter full at most.
func (n *node[R]) small() bool {
	if n.inner == nil {
		return n.size <= maxEntries/4
	}
	return len(n.children) <= maxChildren/4
}

// fits reports whether two nodes can be one.
func (n *node[R]) fits(right *node[R]) bool {
	if n.inner == nil {
		return n.size+right.size <= maxEntries
	}
	return len(n.children)+len(right.children) <= maxChildren
}

// join merges child i of n with a neighbour when it has become small and both
// fit into one node.
func (t *Tree[R]) join(n *node[R], i int) {
	if !n.children[i].small() || len(n.children) == 1 {
		return
	}
	i = max(i-1, 0)
	if !n.children[i].fits(n.children[i+1]) {
		if i++; i+1 >= len(n.children) || !n.children[i].fits(n.children[i+1]) {
			return
		}
	}
	left, right := n.children[i], n.children[i+1]
	merged := &node[R]{owner: t.owner, size: left.size + right.size}
	switch {
	case left.inner != nil:
		merged.inner = &inner[R]{slices.Concat(left.bounds, n.bounds[i:i+1], right.bounds), slices.Concat(left.children, right.children)}
	case left.size == 0:
		merged.leaf, merged.refs = slices.Clone(right.leaf), slices.Clone(right.refs)
	case right.size == 0:
		merged.leaf, merged.refs = slices.Clone(left.leaf), slices.Clone(left.refs)
	default:
		merged.leaf, merged.refs = paste(left.leaf, right.leaf, t.valued), slices.Concat(left.refs, right.refs)
	}
	n.children[i] = merged
	n.children = slices.Delete(n.children, i+1, i+2)
	n.bounds = slices.Concat(n.bounds[:i], n.bounds[i+1:])
}

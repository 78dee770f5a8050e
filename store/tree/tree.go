// Package tree is the store station's ordered set: a B+ tree whose copies cost
// nothing, which is built from sorted entries in one pass, and whose nodes are
// no larger than what they hold.
package tree

import "slices"

// maxEntries is how many entries a leaf has at most, and how many children an
// inner node: a change copies one node of each level, a search misses the
// processor's cache about once in each.
const maxEntries = 32

// Tree is a set of entries in the order of a comparison. The zero Tree cannot
// be used: [New] and [Build] make one. A tree may be read by many goroutines
// while none changes it.
type Tree[E any] struct {
	compare func(a, b E) int
	root    *node[E] // nil is empty
	owner   *owner
}

// owner marks the nodes that a tree made itself: only these it may change in
// place.
type owner struct{ _ byte }

// node is a leaf with entries or, with children, an inner node. The inner
// node's entry i is not above any entry of child i+1, and above all of child i.
type node[E any] struct {
	owner    *owner
	size     int // of the entries below
	entries  []E
	children []*node[E]
}

// New makes an empty tree. compare is negative when a comes before b, and zero
// when b would replace a.
func New[E any](compare func(a, b E) int) *Tree[E] {
	return &Tree[E]{compare: compare, owner: new(owner)}
}

// Edit is a copy to change, which costs nothing: it shares all nodes with t and
// copies those that it changes. From now on t may be read only.
func (t *Tree[E]) Edit() *Tree[E] {
	return &Tree[E]{compare: t.compare, root: t.root, owner: new(owner)}
}

// Len is the number of entries.
func (t *Tree[E]) Len() int {
	if t.root == nil {
		return 0
	}
	return t.root.size
}

// search is the position of the first entry that is not below e, and whether it
// equals e.
func (t *Tree[E]) search(entries []E, e E) (int, bool) {
	low, high := 0, len(entries)
	for low < high {
		middle := int(uint(low+high) >> 1)
		switch c := t.compare(entries[middle], e); {
		case c < 0:
			low = middle + 1
		case c > 0:
			high = middle
		default:
			return middle, true
		}
	}
	return low, false
}

// child is the position of the child that e belongs to.
func (t *Tree[E]) child(n *node[E], e E) int {
	i, found := t.search(n.entries, e)
	if found {
		i++
	}
	return i
}

// Get is the entry that equals e.
func (t *Tree[E]) Get(e E) (found E, ok bool) {
	n := t.root
	if n == nil {
		return found, false
	}
	for n.children != nil {
		n = n.children[t.child(n, e)]
	}
	if i, ok := t.search(n.entries, e); ok {
		return n.entries[i], true
	}
	return found, false
}

// Rank is how many entries are below e.
func (t *Tree[E]) Rank(e E) int {
	n, below := t.root, 0
	if n == nil {
		return 0
	}
	for n.children != nil {
		at := t.child(n, e)
		for _, c := range n.children[:at] {
			below += c.size
		}
		n = n.children[at]
	}
	i, _ := t.search(n.entries, e)
	return below + i
}

// own is a node that t may change: n itself, or a copy.
func (t *Tree[E]) own(n *node[E]) *node[E] {
	if n.owner == t.owner {
		return n
	}
	return &node[E]{
		owner: t.owner, size: n.size,
		entries: roomy(n.entries, 1), children: slices.Clone(n.children),
	}
}

// roomy is a copy with room for so many more entries.
func roomy[E any](entries []E, more int) []E {
	return append(make([]E, 0, len(entries)+more), entries...)
}

// insert puts e at position i without taking more memory than it needs.
func insert[E any](list []E, i int, e E) []E {
	if len(list) == cap(list) {
		list = roomy(list, 2+len(list)/8)
	}
	return slices.Insert(list, i, e)
}

// Set puts e in and returns the entry that it replaces.
func (t *Tree[E]) Set(e E) (old E, replaced bool) {
	if t.root == nil {
		t.root = &node[E]{owner: t.owner, size: 1, entries: []E{e}}
		return old, false
	}
	t.root = t.own(t.root)
	old, replaced, right := t.set(t.root, e)
	if right != nil {
		left := t.root
		t.root = &node[E]{
			owner: t.owner, size: left.size + right.size,
			entries: []E{right.first()}, children: []*node[E]{left, right},
		}
	}
	return old, replaced
}

// set puts e below n, which is t's own; right is a new node after n when n was
// full.
func (t *Tree[E]) set(n *node[E], e E) (old E, replaced bool, right *node[E]) {
	if n.children == nil {
		i, found := t.search(n.entries, e)
		if found {
			old, n.entries[i] = n.entries[i], e
			return old, true, nil
		}
		n.entries = insert(n.entries, i, e)
		n.size++
		if len(n.entries) > maxEntries {
			right = t.split(n, i == len(n.entries)-1)
		}
		return old, false, right
	}
	i := t.child(n, e)
	n.children[i] = t.own(n.children[i])
	old, replaced, more := t.set(n.children[i], e)
	if !replaced {
		n.size++
	}
	if more != nil {
		n.entries = insert(n.entries, i, more.first())
		n.children = insert(n.children, i+1, more)
		if len(n.children) > maxEntries {
			right = t.split(n, i+1 == len(n.children)-1)
		}
	}
	return old, replaced, right
}

// split takes the upper half of n away into a new node; when entries come in
// order, only the last, so that what is complete stays full.
func (t *Tree[E]) split(n *node[E], ascending bool) *node[E] {
	right := &node[E]{owner: t.owner}
	if n.children == nil {
		at := len(n.entries) / 2
		if ascending {
			at = len(n.entries) - 1
		}
		right.entries = slices.Clone(n.entries[at:])
		n.entries = slices.Clone(n.entries[:at])
	} else {
		at := len(n.children) / 2
		if ascending {
			at = len(n.children) - 2 // an inner node has two children or more
		}
		right.entries, right.children = slices.Clone(n.entries[at:]), slices.Clone(n.children[at:])
		n.entries, n.children = slices.Clone(n.entries[:at-1]), slices.Clone(n.children[:at])
	}
	right.count()
	n.count()
	return right
}

func (n *node[E]) count() {
	if n.children == nil {
		n.size = len(n.entries)
		return
	}
	n.size = 0
	for _, c := range n.children {
		n.size += c.size
	}
}

// first is the lowest entry below n.
func (n *node[E]) first() E {
	for n.children != nil {
		n = n.children[0]
	}
	return n.entries[0]
}

// Delete removes the entry that equals e and returns it.
func (t *Tree[E]) Delete(e E) (old E, found bool) {
	if _, ok := t.Get(e); !ok {
		return old, false
	}
	t.root = t.own(t.root)
	old = t.remove(t.root, e)
	switch {
	case t.root.size == 0:
		t.root = nil
	case len(t.root.children) == 1:
		t.root = t.root.children[0]
	}
	return old, true
}

// remove takes e, which is there, away from below n, which is t's own.
func (t *Tree[E]) remove(n *node[E], e E) E {
	n.size--
	if n.children == nil {
		i, _ := t.search(n.entries, e)
		old := n.entries[i]
		n.entries = slices.Delete(n.entries, i, i+1)
		return old
	}
	i := t.child(n, e)
	n.children[i] = t.own(n.children[i])
	old := t.remove(n.children[i], e)
	t.join(n, i)
	return old
}

// width is how many entries a leaf has, or children an inner node.
func (n *node[E]) width() int {
	if n.children == nil {
		return len(n.entries)
	}
	return len(n.children)
}

// join merges child i of n with a neighbour when it has become small and both
// fit into one node.
func (t *Tree[E]) join(n *node[E], i int) {
	if n.children[i].width() > maxEntries/4 || len(n.children) == 1 {
		return
	}
	if i > 0 {
		i--
	}
	left, right := n.children[i], n.children[i+1]
	if left.width()+right.width() > maxEntries {
		if i+2 >= len(n.children) {
			return
		}
		i++
		if left, right = n.children[i], n.children[i+1]; left.width()+right.width() > maxEntries {
			return
		}
	}
	merged := &node[E]{owner: t.owner, size: left.size + right.size}
	if left.children == nil {
		merged.entries = slices.Concat(left.entries, right.entries)
	} else {
		merged.entries = slices.Concat(left.entries, n.entries[i:i+1], right.entries)
		merged.children = slices.Concat(left.children, right.children)
	}
	n.children[i] = merged
	n.children = slices.Delete(n.children, i+1, i+2)
	n.entries = slices.Delete(n.entries, i, i+1)
}

// Scan visits all entries in order until visit is false.
func (t *Tree[E]) Scan(visit func(E) bool) {
	if t.root != nil {
		t.root.scan(visit)
	}
}

func (n *node[E]) scan(visit func(E) bool) bool {
	for _, c := range n.children {
		if !c.scan(visit) {
			return false
		}
	}
	if n.children != nil {
		return true
	}
	for _, e := range n.entries {
		if !visit(e) {
			return false
		}
	}
	return true
}

// Ascend visits the entries that are not below from, in order, until visit is
// false.
func (t *Tree[E]) Ascend(from E, visit func(E) bool) {
	if t.root != nil {
		t.ascend(t.root, from, visit)
	}
}

func (t *Tree[E]) ascend(n *node[E], from E, visit func(E) bool) bool {
	if n.children == nil {
		i, _ := t.search(n.entries, from)
		for _, e := range n.entries[i:] {
			if !visit(e) {
				return false
			}
		}
		return true
	}
	i := t.child(n, from)
	if !t.ascend(n.children[i], from, visit) {
		return false
	}
	for _, c := range n.children[i+1:] {
		if !c.scan(visit) {
			return false
		}
	}
	return true
}

// Back visits all entries from the last to the first until visit is false.
func (t *Tree[E]) Back(visit func(E) bool) {
	if t.root != nil {
		t.root.back(visit)
	}
}

func (n *node[E]) back(visit func(E) bool) bool {
	for _, c := range slices.Backward(n.children) {
		if !c.back(visit) {
			return false
		}
	}
	if n.children != nil {
		return true
	}
	for _, e := range slices.Backward(n.entries) {
		if !visit(e) {
			return false
		}
	}
	return true
}

// Descend visits the entries that are below before, from the last to the first,
// until visit is false.
func (t *Tree[E]) Descend(before E, visit func(E) bool) {
	if t.root != nil {
		t.descend(t.root, before, visit)
	}
}

func (t *Tree[E]) descend(n *node[E], before E, visit func(E) bool) bool {
	if n.children == nil {
		i, _ := t.search(n.entries, before)
		for _, e := range slices.Backward(n.entries[:i]) {
			if !visit(e) {
				return false
			}
		}
		return true
	}
	i := t.child(n, before)
	if !t.descend(n.children[i], before, visit) {
		return false
	}
	for _, c := range slices.Backward(n.children[:i]) {
		if !c.back(visit) {
			return false
		}
	}
	return true
}

// Build makes a tree of entries that are in order already, each once. It keeps
// nothing of the slice.
func Build[E any](compare func(a, b E) int, sorted []E) *Tree[E] {
	t := New(compare)
	if len(sorted) == 0 {
		return t
	}
	var level []*node[E]
	for _, part := range portions(len(sorted)) {
		level = append(level, &node[E]{owner: t.owner, size: part[1] - part[0], entries: roomy(sorted[part[0]:part[1]], 0)})
	}
	for len(level) > 1 {
		var above []*node[E]
		for _, part := range portions(len(level)) {
			n := &node[E]{owner: t.owner, children: slices.Clone(level[part[0]:part[1]])}
			for _, c := range n.children[1:] {
				n.entries = append(n.entries, c.first())
			}
			n.entries = roomy(n.entries, 0)
			n.count()
			above = append(above, n)
		}
		level = above
	}
	t.root = level[0]
	return t
}

// portions divides n into equal parts that leave a node some room.
func portions(n int) [][2]int {
	const most = maxEntries * 7 / 8
	parts := (n + most - 1) / most
	out := make([][2]int, parts)
	for i := range out {
		out[i] = [2]int{i * n / parts, (i + 1) * n / parts}
	}
	return out
}

package tree

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"strings"
)

// Put is an entry on its way into a tree, and what it replaced there.
type Put[R any] struct {
	Key   string
	Value []byte // in a map
	Ref   R      // in an index

	Replaced bool
	Old      R
	OldValue []byte
}

// Put gives a key of a map a value, and says which it had.
func (t *Tree[R]) Put(key string, value []byte) (old []byte, had bool) {
	list := [1]Put[R]{{Key: key, Value: value}}
	t.PutAll(list[:])
	return list[0].OldValue, list[0].Replaced
}

// Set puts an entry into an index and returns the ref that it replaces.
func (t *Tree[R]) Set(key string, ref R) (old R, replaced bool) {
	list := [1]Put[R]{{Key: key, Ref: ref}}
	t.PutAll(list[:])
	return list[0].Old, list[0].Replaced
}

// PutAll puts in entries that are in order, each once, and notes what they
// replaced. Each node that they concern is looked at once.
func (t *Tree[R]) PutAll(list []Put[R]) {
	if len(list) == 0 {
		return
	}
	if t.root == nil {
		t.root = &node[R]{owner: t.owner}
	}
	first, more := t.put(t.root, list)
	for more != nil {
		n := &node[R]{owner: t.owner, inner: &inner[R]{children: append([]*node[R]{first}, more...)}}
		for _, c := range more {
			n.bounds = append(n.bounds, t.first(c))
		}
		n.count()
		first, more = t.divide(n)
	}
	t.root = first
}

// put puts entries below n. It returns the node that takes its place, and those
// that come after that one.
func (t *Tree[R]) put(n *node[R], list []Put[R]) (*node[R], []*node[R]) {
	switch {
	case n.inner != nil:
		return t.putInner(n, list)
	case len(list) == 1:
		n, right := t.putOne(n, &list[0])
		if right != nil {
			return n, []*node[R]{right}
		}
		return n, nil
	case len(list) < manyPuts:
		return t.putFew(n, list)
	}
	return t.merge(n, list)
}

// manyPuts is from how many entries on a leaf is made anew of all of them.
const manyPuts = maxEntries / 2

// putFew puts a few entries into a leaf, one after the other.
func (t *Tree[R]) putFew(n *node[R], list []Put[R]) (*node[R], []*node[R]) {
	if n.owner != t.owner {
		each := 1
		if n.size > 0 {
			each = len(n.leaf)/n.size + 8
		}
		n = &node[R]{owner: t.owner, size: n.size, leaf: grown(n.leaf[:len(n.leaf):len(n.leaf)], len(list)*each), refs: roomy(n.refs, len(list))}
	}
	var more []*node[R]
	at := -1 // of the node among these
	for i := range list {
		for at+1 < len(more) && !t.isBelow(&list[i], t.first(more[at+1])) {
			at++
		}
		into := n
		if at >= 0 {
			into = more[at]
		}
		if _, right := t.putOne(into, &list[i]); right != nil {
			more = slices.Insert(more, at+1, right)
		}
	}
	return n, more
}

// putInner puts entries below an inner node.
func (t *Tree[R]) putInner(n *node[R], list []Put[R]) (*node[R], []*node[R]) {
	n = t.own(n)
	var added [][]*node[R] // after each child
	for i := 0; len(list) > 0; i++ {
		i += t.childOf(n.bounds[i:], &list[0])
		mine := len(list)
		if i < len(n.bounds) {
			mine = t.countBelow(list, n.bounds[i])
		}
		was := n.children[i].size
		first, more := t.put(n.children[i], list[:mine])
		n.size += first.size + total(more) - was
		n.children[i], list = first, list[mine:]
		if more != nil {
			if added == nil {
				added = make([][]*node[R], len(n.children))
			}
			added[i] = more
		}
	}
	if added == nil {
		return n, nil
	}
	children, bounds := n.children, n.bounds
	n.children, n.bounds = make([]*node[R], 0, len(children)+len(added)), make([]bound, 0, len(children)+len(added))
	for i, c := range children {
		n.children = append(append(n.children, c), added[i]...)
		for _, m := range added[i] {
			n.bounds = append(n.bounds, t.first(m))
		}
		if i < len(bounds) {
			n.bounds = append(n.bounds, bounds[i])
		}
	}
	return t.divide(n)
}

func total[R any](nodes []*node[R]) int {
	n := 0
	for _, c := range nodes {
		n += c.size
	}
	return n
}

// childOf is how many of the bounds an entry is not below.
func (t *Tree[R]) childOf(bounds []bound, p *Put[R]) int {
	return sort.Search(len(bounds), func(i int) bool { return t.isBelow(p, bounds[i]) })
}

// countBelow is how many of the entries are below a bound; the first is.
func (t *Tree[R]) countBelow(list []Put[R], b bound) int {
	n := 1
	for n < len(list) && t.isBelow(&list[n], b) { // they are few, nearly always
		if n++; n == manyPuts {
			return n + sort.Search(len(list)-n, func(i int) bool { return !t.isBelow(&list[n+i], b) })
		}
	}
	return n
}

func (t *Tree[R]) isBelow(p *Put[R], b bound) bool {
	c := strings.Compare(p.Key, b.key)
	if c == 0 && t.tie != nil {
		c = strings.Compare(t.tie(p.Ref), b.tie)
	}
	return c < 0
}

// divide makes several nodes of an inner node that has too many children.
func (t *Tree[R]) divide(n *node[R]) (*node[R], []*node[R]) {
	if len(n.children) <= maxChildren {
		return n, nil
	}
	var out []*node[R]
	for _, p := range portions(len(n.children), maxChildren) {
		part := &node[R]{owner: t.owner, inner: &inner[R]{slices.Clone(n.bounds[p[0] : p[1]-1]), slices.Clone(n.children[p[0]:p[1]])}}
		part.count()
		out = append(out, part)
	}
	return out[0], out[1:]
}

// portions divides n into equal parts that leave a node some room.
func portions(n, most int) [][2]int {
	most = full(most)
	parts := (n + most - 1) / most
	out := make([][2]int, parts)
	for i := range out {
		out[i] = [2]int{i * n / parts, (i + 1) * n / parts}
	}
	return out
}

// putOne puts one entry into a leaf; right is what comes after it, if it was full.
func (t *Tree[R]) putOne(n *node[R], p *Put[R]) (left, right *node[R]) {
	tie := ""
	if t.tie != nil {
		tie = t.tie(p.Ref)
	}
	s := t.find(n, p.Key, tie)
	if s.found {
		n = t.own(n)
		p.Replaced, p.Old, n.refs[s.index] = true, n.refs[s.index], p.Ref
		if t.valued {
			p.OldValue = slices.Clone(itemAt(n.leaf, s.at, true).value)
			n.leaf = replace(n.leaf, s, p.Value)
		}
		return n, nil
	}
	e := entry{p.Key, p.Value}
	if n.owner == t.owner {
		n.leaf = insert(n.leaf, s, e, t.valued)
		n.refs = inserted(n.refs, s.index, p.Ref)
	} else {
		n = &node[R]{owner: t.owner, leaf: insertCopy(n.leaf, s, e, t.valued), refs: insertedCopy(n.refs, s.index, p.Ref)}
	}
	n.size = len(n.refs)
	if n.size > maxEntries {
		right = t.split(n, s.index == n.size-1)
	}
	return n, right
}

// insertedCopy is a copy that has e at position i.
func insertedCopy[E any](list []E, i int, e E) []E {
	out := make([]E, 0, len(list)+1)
	return append(append(append(out, list[:i]...), e), list[i:]...)
}

// merged is an entry of a leaf in the making.
type merged[R any] struct {
	key, value []byte
	ref        R
}

// merge puts entries into a leaf, and makes new leaves of all of it.
func (t *Tree[R]) merge(n *node[R], list []Put[R]) (*node[R], []*node[R]) {
	all := make([]merged[R], 0, len(n.refs)+len(list))
	keys := make([]byte, 0, 4096)
	take := func(key []byte, value []byte, ref R) {
		from := len(keys)
		keys = append(keys, key...)
		all = append(all, merged[R]{keys[from:len(keys):len(keys)], value, ref})
	}
	var key, next []byte
	j := 0
	for i, at := 0, 0; i < len(n.refs); i++ {
		it := itemAt(n.leaf, at, t.valued)
		key, at = append(key[:it.shared], it.rest...), it.end
		c := 1
		for ; j < len(list) && c > 0; j++ {
			p := &list[j]
			next = append(next[:0], p.Key...)
			if c = t.compare(key, n.refs[i], next, p.Ref); c < 0 {
				break
			}
			if c == 0 {
				p.Replaced, p.Old, p.OldValue = true, n.refs[i], slices.Clone(it.value)
			}
			take(next, p.Value, p.Ref)
		}
		if c != 0 {
			take(key, it.value, n.refs[i])
		}
	}
	for _, p := range list[j:] {
		take([]byte(p.Key), p.Value, p.Ref)
	}
	leaves := t.leaves(all)
	if len(leaves) == 1 {
		return leaves[0], nil
	}
	return leaves[0], leaves[1:]
}

// compare compares two entries.
func (t *Tree[R]) compare(a []byte, r R, b []byte, s R) int {
	if c := bytes.Compare(a, b); c != 0 || t.tie == nil {
		return c
	}
	return strings.Compare(t.tie(r), t.tie(s))
}

// leaves are new leaves with the entries.
func (t *Tree[R]) leaves(all []merged[R]) []*node[R] {
	parts := [][2]int{{0, len(all)}}
	if len(all) > maxEntries {
		parts = portions(len(all), maxEntries)
	}
	var out []*node[R]
	var buf []byte
	for _, p := range parts {
		n := &node[R]{owner: t.owner, size: p[1] - p[0], refs: make([]R, 0, p[1]-p[0]+1)}
		var before []byte
		buf = buf[:0]
		for _, e := range all[p[0]:p[1]] {
			it := item{shared: alike(before, string(e.key)), value: e.value}
			it.rest = e.key[it.shared:]
			buf = it.append(buf, t.valued)
			n.refs, before = append(n.refs, e.ref), e.key
		}
		n.leaf = append(make([]byte, 0, len(buf)+cmp.Or(len(buf)/16, 8)), buf...)
		out = append(out, n)
	}
	return out
}

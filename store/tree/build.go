package tree

// Builder makes a tree of entries that come in order, each once, in one pass.
type Builder[R any] struct {
	tree  *Tree[R]
	level []*node[R] // the leaves that are full
	leaf  []byte     // the one that is filled
	refs  []R
	last  []byte // the key before
}

// full is how many of so many parts a node has, so that there is some room in it.
func full(most int) int { return most * 7 / 8 }

// Into fills a tree that is empty. Several builders may fill parts of it beside
// each other: see [Builder.Append].
func (t *Tree[R]) Into() *Builder[R] { return &Builder[R]{tree: t} }

// Add adds the next entry; value is nil in a tree whose entries have none. It
// keeps neither of the texts.
func (b *Builder[R]) Add(key string, value []byte, ref R) {
	if len(b.refs) == full(maxEntries) {
		b.flush()
	}
	it := item{value: value}
	if len(b.refs) > 0 {
		it.shared = alike(b.last, key)
	}
	b.last = append(b.last[:it.shared], key[it.shared:]...)
	it.rest = b.last[it.shared:]
	b.leaf = it.append(b.leaf, b.tree.valued)
	b.refs = append(b.refs, ref)
}

func (b *Builder[R]) flush() {
	if len(b.refs) == 0 {
		return
	}
	b.level = append(b.level, &node[R]{
		owner: b.tree.owner, size: len(b.refs), leaf: append(make([]byte, 0, len(b.leaf)), b.leaf...), refs: roomy(b.refs, 0),
	})
	b.leaf, b.refs = b.leaf[:0], b.refs[:0]
}

// Append adds all that was added to another builder of the tree, which comes after
// all that is here.
func (b *Builder[R]) Append(other *Builder[R]) {
	b.flush()
	other.flush()
	b.level = append(b.level, other.level...)
}

// Tree is the tree of all that was added.
func (b *Builder[R]) Tree() *Tree[R] {
	b.flush()
	t := b.tree
	for len(b.level) > 1 {
		var above []*node[R]
		for _, p := range portions(len(b.level), maxChildren) {
			n := &node[R]{owner: t.owner, inner: &inner[R]{make([]bound, 0, p[1]-p[0]-1), roomy(b.level[p[0]:p[1]], 0)}}
			for _, c := range n.children[1:] {
				n.bounds = append(n.bounds, t.first(c))
			}
			n.count()
			above = append(above, n)
		}
		b.level = above
	}
	if len(b.level) == 1 {
		t.root = b.level[0]
	}
	return t
}

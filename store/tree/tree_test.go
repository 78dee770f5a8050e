package tree

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// thing is what the entries of the index under test are: tie orders those with
// the same key, value says which Set put it in.
type thing struct {
	tie   string
	value int
}

func tieOf(t thing) string { return t.tie }

// place is an entry's place in the order.
type place struct{ key, tie string }

func (a place) compare(b place) int {
	return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.tie, b.tie))
}

// anyKey draws keys that share beginnings, contain each other, and are strange.
func anyKey(t *rapid.T) string {
	begin := rapid.SampledFrom([]string{"", "ip/one subnet/10.0.", "ip/other/", "a", strings.Repeat("long", 60)}).Draw(t, "begin")
	return begin + rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00")), 0, 4, -1).Draw(t, "end")
}

// valid looks whether a node is one: widths, sizes, bounds, and what each key
// of a leaf shares with the one before.
func valid[R any](t *rapid.T, tr *Tree[R], n *node[R], low, high *bound) int {
	if n.inner == nil {
		validLeaf(t, tr, n, low, high)
		return 1
	}
	if len(n.children) > maxChildren || len(n.children) != len(n.bounds)+1 {
		t.Fatalf("a node of %d bounds and %d children", len(n.bounds), len(n.children))
	}
	depth, sum := 0, 0
	for i, c := range n.children {
		from, to := low, high
		if i > 0 {
			from = &n.bounds[i-1]
		}
		if i < len(n.bounds) {
			to = &n.bounds[i]
		}
		d := 1 + valid(t, tr, c, from, to)
		if i > 0 && d != depth {
			t.Fatalf("leaves at depths %d and %d", depth, d)
		}
		depth, sum = d, sum+c.size
	}
	if sum != n.size || n.size == 0 {
		t.Fatalf("size %d, want %d", n.size, sum)
	}
	return depth
}

func validLeaf[R any](t *rapid.T, tr *Tree[R], n *node[R], low, high *bound) {
	if len(n.refs) != n.size || n.size > maxEntries || n.size == 0 {
		t.Fatalf("a leaf of %d entries, with %d refs", n.size, len(n.refs))
	}
	var before []byte
	at := 0
	for i, r := range n.refs {
		it := itemAt(n.leaf, at, tr.valued)
		key := append(slices.Clone(before[:it.shared]), it.rest...)
		if i > 0 && alike(before, string(key)) != it.shared || i == 0 && it.shared != 0 {
			t.Fatalf("%q after %q shares %d", key, before, it.shared)
		}
		p := place{key: string(key)}
		if tr.tie != nil {
			p.tie = tr.tie(r)
		}
		if low != nil && p.compare(place(*low)) < 0 || high != nil && p.compare(place(*high)) >= 0 {
			t.Fatalf("%q is not between %q and %q", p, low, high)
		}
		before, at = key, it.end
	}
	if at != len(n.leaf) {
		t.Fatalf("%d bytes after the last entry", len(n.leaf)-at)
	}
}

// agree looks whether an index says what the map says, in every way to ask.
func agree(t *rapid.T, tr *Tree[thing], m map[place]int) {
	if tr.root != nil {
		valid(t, tr, tr.root, nil, nil)
	}
	want := slices.SortedFunc(maps.Keys(m), place.compare)
	if tr.Len() != len(want) {
		t.Fatalf("%d entries, want %d", tr.Len(), len(want))
	}
	pivot := place{anyKey(t), rapid.SampledFrom([]string{"", "0", "3", "9"}).Draw(t, "tie")}
	at, _ := slices.BinarySearchFunc(want, pivot, place.compare)
	if got := tr.Rank(pivot.key, pivot.tie); got != at {
		t.Fatalf("rank of %q: %d, want %d", pivot, got, at)
	}
	begins := false
	for _, p := range want {
		begins = begins || strings.HasPrefix(p.key, pivot.key)
	}
	if got := tr.Begins(pivot.key); got != begins {
		t.Fatalf("a key begins with %q: %v", pivot.key, got)
	}
	most := rapid.IntRange(1, 1000).Draw(t, "most")
	walk := func(what string, want []place, visit func(func(Entry[thing]) bool)) {
		var got []place
		visit(func(e Entry[thing]) bool {
			p := place{string(e.Key), e.Ref.tie}
			if m[p] != e.Ref.value || !e.Has(p.key) {
				t.Fatalf("%s: %q is %d, want %d", what, p, e.Ref.value, m[p])
			}
			got = append(got, p)
			return len(got) < most
		})
		if want = want[:min(most, len(want))]; !slices.Equal(got, want) {
			t.Fatalf("%s %q: got %q, want %q", what, pivot, got, want)
		}
	}
	back := slices.Clone(want)
	slices.Reverse(back)
	walk("scan", want, tr.Scan)
	walk("back", back, tr.Back)
	walk("ascend", want[at:], func(f func(Entry[thing]) bool) { tr.Ascend(pivot.key, pivot.tie, f) })
	walk("descend", back[len(want)-at:], func(f func(Entry[thing]) bool) { tr.Descend(pivot.key, pivot.tie, f) })
	for p, value := range m {
		if got, ok := tr.Find(p.key, p.tie); !ok || got.value != value {
			t.Fatalf("%q: %v %v, want %d", p, got, ok, value)
		}
	}
}

// putTogether puts entries into an index and into the map beside it.
func putTogether(t *rapid.T, tr *Tree[thing], m map[place]int, step int) {
	places := map[place]bool{}
	for range rapid.SampledFrom([]int{1, 2, 50, 400}).Draw(t, "at once") {
		places[place{anyKey(t), fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "tie"))}] = true
	}
	var list []Put[thing]
	for _, p := range slices.SortedFunc(maps.Keys(places), place.compare) {
		list = append(list, Put[thing]{Key: p.key, Ref: thing{p.tie, step}})
	}
	tr.PutAll(list)
	for _, p := range list {
		at := place{p.Key, p.Ref.tie}
		if value, in := m[at]; p.Replaced != in || p.Old.value != value {
			t.Fatalf("%q replaced %v %v, want %d", at, p.Old, p.Replaced, value)
		}
		m[at] = step
	}
}

// version is an index that was given away, with what it said then.
type version struct {
	tree *Tree[thing]
	m    map[place]int
}

// An index says what a map would, and one that was given away never changes.
func TestAnIndexIsASortedMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := map[place]int{}
		for range rapid.SampledFrom([]int{0, 1, 30, 300}).Draw(t, "at first") {
			m[place{anyKey(t), fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "tie"))}] = -1
		}
		b := NewIndex(tieOf).Into()
		for _, p := range slices.SortedFunc(maps.Keys(m), place.compare) {
			b.Add(p.key, nil, thing{p.tie, -1})
		}
		tr := b.Tree()
		var old []version
		for step := range rapid.IntRange(1, 8).Draw(t, "steps") {
			old = append(old, version{tr, maps.Clone(m)})
			tr = tr.Edit()
			add := rapid.Bool().Draw(t, "add")
			if add && rapid.Bool().Draw(t, "together") {
				putTogether(t, tr, m, step)
			}
			for range rapid.IntRange(0, 150).Draw(t, "many") {
				p := place{anyKey(t), fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "tie"))}
				value, in := m[p]
				var was thing
				var ok bool
				if add {
					was, ok = tr.Set(p.key, thing{p.tie, step})
					m[p] = step
				} else {
					was, ok = tr.Delete(p.key, p.tie)
					delete(m, p)
				}
				if ok != in || was.value != value {
					t.Fatalf("%q: was %v %v, want %d", p, was, ok, value)
				}
			}
			agree(t, tr, m)
		}
		for _, v := range old {
			agree(t, v.tree, v.m)
		}
	})
}

// replaceAll gives new values to some keys of a map, and to others.
func replaceAll(t *rapid.T, tr *Map, m map[string]string) {
	keys := map[string]string{anyKey(t): "new", anyKey(t): ""}
	for key := range m {
		if len(keys) < 30 {
			keys[key] = strings.Repeat("y", len(keys))
		}
	}
	var list []Put[struct{}]
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		list = append(list, Put[struct{}]{Key: key, Value: []byte(keys[key])})
	}
	tr.PutAll(list)
	for _, p := range list {
		if was, in := m[p.Key]; p.Replaced != in || string(p.OldValue) != was {
			t.Fatalf("%q replaced %q %v, want %q", p.Key, p.OldValue, p.Replaced, was)
		}
		m[p.Key] = keys[p.Key]
	}
}

// A map has one value for each key.
func TestAMapHasValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, tr := map[string]string{}, NewMap()
		var before *Map
		var then map[string]string
		for i := range rapid.IntRange(0, 400).Draw(t, "many") {
			if i == 100 {
				before, then = tr, maps.Clone(m)
				tr = tr.Edit()
			}
			key := anyKey(t)
			was, in := m[key]
			var got []byte
			var had bool
			if what := rapid.IntRange(0, 9).Draw(t, "what"); what == 0 {
				replaceAll(t, tr, m)
				continue
			} else if what > 2 {
				value := strings.Repeat("x", rapid.IntRange(0, 200).Draw(t, "value"))
				got, had = tr.Put(key, []byte(value))
				m[key] = value
			} else {
				got, had = tr.Drop(key)
				delete(m, key)
			}
			if had != in || string(got) != was {
				t.Fatalf("%q was %q %v, want %q %v", key, got, had, was, in)
			}
		}
		for tr, m := range map[*Map]map[string]string{tr: m, before: then} {
			if tr == nil {
				continue
			}
			if tr.root != nil {
				valid(t, tr, tr.root, nil, nil)
			}
			got := map[string]string{}
			tr.Scan(func(e Entry[struct{}]) bool {
				got[string(e.Key)] = string(e.Value)
				return true
			})
			if !maps.Equal(got, m) || tr.Len() != len(m) {
				t.Fatalf("got %q, want %q", got, m)
			}
			for key, value := range m {
				if got, ok := tr.Get(key); !ok || !bytes.Equal(got, []byte(value)) {
					t.Fatalf("%q is %q %v, want %q", key, got, ok, value)
				}
			}
		}
	})
}

// A built tree is one, of any size.
func TestBuilding(t *testing.T) {
	const leaf, node = maxEntries * 7 / 8, maxChildren * 7 / 8
	for _, n := range []int{0, 1, leaf - 1, leaf, leaf + 1, leaf * node, leaf*node + 1, leaf * (node + 1), leaf*(node+1) + 1, 5000, leaf * node * node} {
		b := NewMap().Into()
		for i := range n {
			b.Add(fmt.Sprintf("key/%08d", i), []byte{1}, struct{}{})
		}
		tr := b.Tree()
		if tr.Len() != n {
			t.Errorf("%d of %d entries", tr.Len(), n)
		}
		rapid.Check(t, func(t *rapid.T) {
			if n > 0 {
				valid(t, tr, tr.root, nil, nil)
			}
		})
	}
}

// What comes in order fills the nodes, and what goes makes them fewer.
func TestNodesAreFilledAndGivenBack(t *testing.T) {
	leaves := func(tr *Map) int {
		n := 0
		var count func(*node[struct{}])
		count = func(at *node[struct{}]) {
			if at.inner == nil {
				n++
			}
			if at.inner != nil {
				for _, c := range at.children {
					count(c)
				}
			}
		}
		count(tr.root)
		return n
	}
	tr := NewMap()
	const many = 100 * maxEntries
	for i := range many {
		tr.Put(fmt.Sprintf("%08d", i), nil)
	}
	if n := leaves(tr); n > many/maxEntries*5/4 {
		t.Errorf("%d leaves for %d entries in order", n, many)
	}
	for i := range many {
		if i%16 != 0 {
			tr.Drop(fmt.Sprintf("%08d", i))
		}
	}
	if n := leaves(tr); n > many/16/maxEntries*6 {
		t.Errorf("%d leaves for %d entries", n, tr.Len())
	}
	for i := range many {
		tr.Drop(fmt.Sprintf("%08d", i))
	}
	if tr.Len() != 0 || tr.root != nil {
		t.Errorf("%d entries remain", tr.Len())
	}
}

// Sorting is what comparing whole texts says, also where many are alike, the
// same, or the beginning of another.
func TestOrderOfTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := rapid.SampledFrom([]string{"", "/c/ip/", "/c/group-user/one of the groups/", "\x00"}).Draw(t, "begin")
		var texts []string
		for range rapid.IntRange(0, 200).Draw(t, "texts") {
			middle := rapid.SampledFrom([]string{"", "a", "\x00", "network one/", "network two/", "network two"}).Draw(t, "middle")
			texts = append(texts, begin+middle+rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00")), 0, 12, -1).Draw(t, "end"))
		}
		var want []uint32
		for i := range texts {
			want = append(want, uint32(i))
		}
		slices.SortStableFunc(want, func(a, b uint32) int { return strings.Compare(texts[a], texts[b]) })
		if got := Order(len(texts), func(i uint32) string { return texts[i] }); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v, of %q", got, want, texts)
		}
	})
}

// That is so also for many texts, which are sorted in other ways.
func TestOrderOfManyTexts(t *testing.T) {
	const n = 20_000
	r := rand.New(rand.NewPCG(1, 2))
	for name, text := range map[string]func(i int) string{
		"all different":        func(int) string { return fmt.Sprintf("/c/ip/network/%016x", r.Uint64()) },
		"numbers":              func(i int) string { return fmt.Sprint(i * 7919 % n) },
		"a few":                func(int) string { return fmt.Sprint("network ", r.IntN(100)) },
		"one":                  func(int) string { return "default" },
		"short and with zeros": func(int) string { return strings.Repeat("\x00", r.IntN(12)) + strings.Repeat("a", r.IntN(3)) },
		"in order":             func(i int) string { return fmt.Sprintf("%08d", i) },
	} {
		texts := make([]string, n)
		want := make([]uint32, n)
		for i := range texts {
			texts[i], want[i] = text(i), uint32(i)
		}
		slices.SortStableFunc(want, func(a, b uint32) int { return strings.Compare(texts[a], texts[b]) })
		if got := Order(n, func(i uint32) string { return texts[i] }); !slices.Equal(got, want) {
			t.Errorf("%s: not in order", name)
		}
	}
}

func BenchmarkOrder(b *testing.B) {
	texts := make([]string, 1_000_000)
	for i := range texts {
		texts[i] = fmt.Sprintf("/c/mac/%08x-0000-4000-8000-000000000000/fa:16:3e:%06x", i%1000*2654435761, i*7919%1_000_003)
	}
	for b.Loop() {
		Order(len(texts), func(i uint32) string { return texts[i] })
	}
}

func BenchmarkPut(b *testing.B) {
	tr := NewMap()
	for i := range b.N {
		tr.Put(fmt.Sprintf("/c/mac/network/fa:16:3e:%06x", i*7919%1_000_003), []byte{1, 2, 3, 4})
	}
}

func BenchmarkGet(b *testing.B) {
	const many = 1_000_000
	m := NewMap().Into()
	for i := range many {
		m.Add(fmt.Sprintf("/c/mac/network/fa:16:3e:%06x", i), []byte{1, 2, 3, 4}, struct{}{})
	}
	tr := m.Tree()
	keys := make([]string, 1<<16)
	for i := range keys {
		keys[i] = fmt.Sprintf("/c/mac/network/fa:16:3e:%06x", i*7919%many)
	}
	for i := 0; b.Loop(); i++ {
		if _, ok := tr.Get(keys[i%len(keys)]); !ok {
			b.Fatal("lost")
		}
	}
}

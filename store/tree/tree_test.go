package tree

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pair is an entry whose value says which Set put it in.
type pair struct{ key, value int }

func compare(a, b pair) int { return cmp.Compare(a.key, b.key) }

// valid looks whether a tree is one: sizes, order, widths and separators.
func valid(t *rapid.T, n *node[pair], low, high int) int {
	depth := 1
	sum := 0
	if n.children == nil {
		sum = len(n.entries)
	}
	if len(n.entries) > maxEntries || len(n.children) > maxEntries || n.children != nil && len(n.children) != len(n.entries)+1 {
		t.Fatalf("a node of %d entries and %d children", len(n.entries), len(n.children))
	}
	for _, e := range n.entries {
		if e.key < low || e.key >= high {
			t.Fatalf("%d is not in %d..%d", e.key, low, high)
		}
	}
	for i, c := range n.children {
		from, to := low, high
		if i > 0 {
			from = n.entries[i-1].key
		}
		if i < len(n.entries) {
			to = n.entries[i].key
		}
		d := 1 + valid(t, c, from, to)
		if i > 0 && d != depth {
			t.Fatalf("leaves at depths %d and %d", depth, d)
		}
		depth = d
		sum += c.size
	}
	if sum != n.size || n.size == 0 {
		t.Fatalf("size %d, want %d", n.size, sum)
	}
	return depth
}

// same looks whether a tree says what the map says, in every way to ask.
func same(t *rapid.T, tr *Tree[pair], m map[int]int) {
	if tr.root != nil {
		valid(t, tr.root, -1<<31, 1<<31)
	}
	var want []pair
	for _, key := range slices.Sorted(maps.Keys(m)) {
		want = append(want, pair{key, m[key]})
	}
	if tr.Len() != len(want) {
		t.Fatalf("%d entries, want %d", tr.Len(), len(want))
	}
	// from and to are the part that is asked for; an odd pivot is in no tree.
	pivot := rapid.IntRange(-1, 801).Draw(t, "pivot")
	at, _ := slices.BinarySearchFunc(want, pair{key: pivot}, compare)
	if r := tr.Rank(pair{key: pivot}); r != at {
		t.Fatalf("rank of %d is %d, want %d", pivot, r, at)
	}
	most := rapid.IntRange(1, len(want)+1).Draw(t, "most")
	check := func(what string, visit func(func(pair) bool), want []pair) {
		var got []pair
		visit(func(p pair) bool {
			got = append(got, p)
			return len(got) < most
		})
		if want = want[:min(most, len(want))]; !slices.Equal(got, want) {
			t.Fatalf("%s: got %v, want %v", what, got, want)
		}
	}
	back := func(list []pair) []pair {
		list = slices.Clone(list)
		slices.Reverse(list)
		return list
	}
	check("scan", tr.Scan, want)
	check("back", tr.Back, back(want))
	check("ascend", func(visit func(pair) bool) { tr.Ascend(pair{key: pivot}, visit) }, want[at:])
	check("descend", func(visit func(pair) bool) { tr.Descend(pair{key: pivot}, visit) }, back(want[:at]))
	got, ok := tr.Get(pair{key: pivot})
	if value, in := m[pivot]; ok != in || got.value != value {
		t.Fatalf("get %d: %v %v", pivot, got, ok)
	}
}

// A tree and all that were edited out of it say at each moment what plain maps
// say, built or not, also when many entries come in order or go.
func TestATreeEqualsAPlainMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			tree *Tree[pair]
			m    map[int]int
		}
		m := map[int]int{}
		var sorted []pair
		for key := range rapid.IntRange(0, 400).Draw(t, "built") {
			sorted = append(sorted, pair{2 * key, -1})
			m[2*key] = -1
		}
		tr := Build(compare, sorted)
		var old []version
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			old = append(old, version{tr, maps.Clone(m)})
			tr = tr.Edit()
			first, stride := rapid.IntRange(0, 800).Draw(t, "first"), rapid.SampledFrom([]int{1, -1, 7, 331}).Draw(t, "stride")
			add := rapid.Bool().Draw(t, "add")
			for i := range rapid.IntRange(0, 300).Draw(t, "many") {
				key := ((first+i*stride)%801 + 801) % 801
				value, in := m[key]
				var was pair
				var ok bool
				if add {
					was, ok = tr.Set(pair{key, step})
					m[key] = step
				} else {
					was, ok = tr.Delete(pair{key: key})
					delete(m, key)
				}
				if ok != in || was.value != value {
					t.Fatalf("%d: was %v %v, want %d %v", key, was, ok, value, in)
				}
			}
			same(t, tr, m)
		}
		for _, v := range old {
			same(t, v.tree, v.m)
		}
	})
}

// What comes in order fills the nodes, and what goes makes them fewer.
func TestNodesAreFilledAndGivenBack(t *testing.T) {
	leaves := func(tr *Tree[pair]) int {
		n := 0
		var count func(*node[pair])
		count = func(at *node[pair]) {
			if at.children == nil {
				n++
			}
			for _, c := range at.children {
				count(c)
			}
		}
		count(tr.root)
		return n
	}
	tr := New(compare)
	const many = 100 * maxEntries
	for i := range many {
		tr.Set(pair{key: i})
	}
	if n := leaves(tr); n > many/maxEntries*5/4 {
		t.Errorf("%d leaves for %d entries in order", n, many)
	}
	for i := range many {
		if i%16 != 0 {
			tr.Delete(pair{key: i})
		}
	}
	if n := leaves(tr); n > many/16/maxEntries*6 {
		t.Errorf("%d leaves for %d entries", n, tr.Len())
	}
	for i := range many {
		tr.Delete(pair{key: i})
	}
	if tr.Len() != 0 || tr.root != nil {
		t.Errorf("%d entries remain", tr.Len())
	}
}

func BenchmarkSet(b *testing.B) {
	tr := New(compare)
	for i := range b.N {
		tr.Set(pair{key: i * 7919 % 1_000_003})
	}
}

// Sorting is what comparing whole texts says, also where many are alike, the
// same, or the beginning of another.
func TestSortingByText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type item struct {
			text string
			at   int
		}
		begin := rapid.SampledFrom([]string{"", "/c/ip/", "/c/group-user/one of the groups/", "\x00"}).Draw(t, "begin")
		var items []item
		for i := range rapid.IntRange(0, 200).Draw(t, "items") {
			middle := rapid.SampledFrom([]string{"", "a", "\x00", "network one/", "network two/", "network two"}).Draw(t, "middle")
			items = append(items, item{begin + middle + rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00")), 0, 12, -1).Draw(t, "end"), i})
		}
		want := slices.Clone(items)
		slices.SortStableFunc(want, func(a, b item) int { return cmp.Compare(a.text, b.text) })
		Sort(items, func(i *item) string { return i.text })
		if !slices.Equal(items, want) {
			t.Fatalf("got %v, want %v", items, want)
		}
	})
}

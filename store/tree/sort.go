package tree

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// Order is the order of so many texts: the position of the least first. Those
// that are the same stay in the order of their positions. Texts that begin alike,
// as keys do, are compared from where they differ, and by eight bytes beside each
// other in memory, not each by a look elsewhere.
func Order(n int, text func(position uint32) string) []uint32 {
	return new(Sorter).Order(n, text)
}

// Sorter keeps the memory of one [Order] for the next. It is used by one goroutine
// at a time.
type Sorter struct {
	texts   []string
	refs    []ref
	scratch []ref
	order   []uint32
}

// Order is [Order]; the answer is good until the next call.
func (s *Sorter) Order(n int, text func(position uint32) string) []uint32 {
	s.texts = roomFor(s.texts, n)
	for i := range s.texts {
		s.texts[i] = text(uint32(i))
	}
	defer clear(s.texts) // what they are parts of may go
	s.order = roomFor(s.order, n)
	if g := grouped(s.texts); g != nil {
		g.order(s.order)
		return s.order
	}
	s.refs = roomFor(s.refs, n)
	for i := range s.refs {
		s.refs[i].at = uint32(i)
	}
	s.sort(0, n, 0)
	for i, r := range s.refs {
		s.order[i] = r.at
	}
	return s.order
}

// roomFor is a list of so many, in the same memory where that is enough.
func roomFor[E any](list []E, n int) []E {
	if cap(list) < n {
		return make([]E, n)
	}
	return list[:n]
}

// ref is a text by its position, with a part of it.
type ref struct {
	word uint64
	at   uint32
	size uint32 // of the part, 8 when more may follow
}

func (a ref) compare(b ref) int {
	if a.word != b.word {
		return cmp.Compare(a.word, b.word)
	}
	return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.at, b.at))
}

// How many texts are compared as a whole, and from how many on they are
// distributed by their bytes.
const (
	few  = 16
	many = 1 << 11
)

// sort sorts some of the texts, which are the same up to the offset.
func (s *Sorter) sort(from, to, offset int) {
	refs := s.refs[from:to]
	if len(refs) <= few {
		slices.SortFunc(refs, func(a, b ref) int {
			return cmp.Or(strings.Compare(s.texts[a.at][offset:], s.texts[b.at][offset:]), cmp.Compare(a.at, b.at))
		})
		return
	}
	offset += s.common(refs, offset)
	for i := range refs {
		refs[i].word, refs[i].size = part(s.texts[refs[i].at][offset:])
	}
	if len(refs) < many {
		slices.SortFunc(refs, ref.compare)
	} else {
		s.distribute(refs)
	}
	for low, high := 0, 0; low < len(refs); low = high {
		for high = low + 1; high < len(refs) && refs[high].word == refs[low].word && refs[high].size == refs[low].size; high++ {
		}
		if refs[low].size == 8 && high-low > 1 {
			s.sort(from+low, from+high, offset+8)
		}
	}
}

// common is how many bytes all texts have in common after the offset.
func (s *Sorter) common(refs []ref, offset int) int {
	first := s.texts[refs[0].at][offset:]
	for _, r := range refs[1:] {
		other := s.texts[r.at][offset:]
		n := min(len(first), len(other))
		if first[:n] != other[:n] {
			for n = 0; first[n] == other[n]; n++ {
			}
		}
		if first = first[:n]; n == 0 {
			break
		}
	}
	return len(first)
}

// distribute sorts by the parts, byte by byte from the last on: many of these
// passes have nothing to do, since keys differ in few characters.
func (s *Sorter) distribute(refs []ref) {
	var counts [8][256]uint32
	for i := range refs {
		for b := range counts {
			counts[b][byte(refs[i].word>>(8*b))]++
		}
	}
	s.scratch = roomFor(s.scratch, len(refs))
	now, next := refs, s.scratch
	for b := range counts {
		if counts[b][byte(now[0].word>>(8*b))] == uint32(len(refs)) {
			continue
		}
		sum := uint32(0)
		for i, n := range counts[b] {
			counts[b][i], sum = sum, sum+n
		}
		for _, r := range now {
			at := &counts[b][byte(r.word>>(8*b))]
			next[*at] = r
			*at++
		}
		now, next = next, now
	}
	if &now[0] != &refs[0] {
		copy(refs, now)
	}
	// A text that ends has the part of one that goes on with zeros.
	for low, high := 0, 0; low < len(refs); low = high {
		short := refs[low].size < 8
		for high = low + 1; high < len(refs) && refs[high].word == refs[low].word; high++ {
			short = short || refs[high].size < 8
		}
		if short {
			slices.SortFunc(refs[low:high], ref.compare)
		}
	}
}

// part is the first eight bytes of a text as a number in the texts' order, and how
// many it has.
func part(s string) (uint64, uint32) {
	if len(s) >= 8 {
		return word(s), 8
	}
	var b [8]byte
	n := copy(b[:], s)
	return binary.BigEndian.Uint64(b[:]), uint32(n)
}

// groups are texts of which many are the same: a million ports have a thousand
// networks.
type groups struct {
	texts []string // of each group
	of    []uint32 // the group of each position
	sizes []uint32
}

// Texts are looked at in groups when of so many of them few are different.
const (
	sampled   = 1 << 10
	different = sampled / 4
)

// grouped finds the groups of texts, nil when these are not few.
func grouped(texts []string) *groups {
	if len(texts) < 4*sampled {
		return nil
	}
	seen := map[string]bool{}
	for i := range sampled {
		seen[texts[i*(len(texts)/sampled)]] = true
	}
	if len(seen) > different {
		return nil
	}
	g := &groups{of: make([]uint32, len(texts))}
	number := make(map[string]uint32, len(seen))
	for i, s := range texts {
		n, known := number[s]
		if !known {
			n = uint32(len(g.texts))
			number[s], g.texts, g.sizes = n, append(g.texts, s), append(g.sizes, 0)
		}
		g.of[i] = n
		g.sizes[n]++
	}
	return g
}

// order writes the order of the positions.
func (g *groups) order(into []uint32) {
	next, sum := make([]uint32, len(g.texts)), uint32(0)
	for _, n := range Order(len(g.texts), func(i uint32) string { return g.texts[i] }) {
		next[n], sum = sum, sum+g.sizes[n]
	}
	for i, n := range g.of {
		into[next[n]] = uint32(i)
		next[n]++
	}
}

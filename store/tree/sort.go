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
	refs := make([]ref, n)
	for i := range refs {
		refs[i].at = uint32(i)
	}
	sortRefs(refs, 0, text)
	order := make([]uint32, n)
	for i, r := range refs {
		order[i] = r.at
	}
	return order
}

// ref is an item with a part of its text.
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

// fewRefs is how many items are compared by their whole texts.
const fewRefs = 16

// sortRefs sorts items whose texts are the same up to the offset.
func sortRefs(refs []ref, offset int, text func(uint32) string) {
	if len(refs) <= fewRefs {
		slices.SortFunc(refs, func(a, b ref) int {
			return cmp.Or(strings.Compare(text(a.at)[offset:], text(b.at)[offset:]), cmp.Compare(a.at, b.at))
		})
		return
	}
	offset += len(commonly(refs, offset, text))
	for i := range refs {
		refs[i].word, refs[i].size = part(text(refs[i].at)[offset:])
	}
	slices.SortFunc(refs, ref.compare)
	for low, high := 0, 0; low < len(refs); low = high {
		for high = low + 1; high < len(refs) && refs[high].word == refs[low].word && refs[high].size == refs[low].size; high++ {
		}
		if refs[low].size == 8 && high-low > 1 {
			sortRefs(refs[low:high], offset+8, text)
		}
	}
}

// commonly is what all texts have in common after the offset.
func commonly(refs []ref, offset int, text func(uint32) string) string {
	alike := text(refs[0].at)[offset:]
	for _, r := range refs[1:] {
		if alike == "" {
			break
		}
		other := text(r.at)[offset:]
		n := min(len(alike), len(other))
		if alike[:n] != other[:n] {
			for n = 0; alike[n] == other[n]; n++ {
			}
		}
		alike = alike[:n]
	}
	return alike
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

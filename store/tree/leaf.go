package tree

import (
	"encoding/binary"
	"math/bits"
)

// A leaf is the entries beside each other in one text: of each key how many
// bytes it shares with the key before it, and the rest. Sharing is exact, so that
// a search looks at each entry's first byte and nearly never at more.
//
//	shared  uvarint
//	length  uvarint, of the rest
//	value   uvarint, its length; only where entries have values
//	rest, value

// item is one entry as it stands in a leaf.
type item struct {
	shared int
	rest   []byte
	value  []byte
	end    int // where the next one begins
}

// itemAt is the entry that begins there.
func itemAt(leaf []byte, at int, valued bool) item {
	var it item
	it.shared, at = number(leaf, at)
	length, at := number(leaf, at)
	size := 0
	if valued {
		size, at = number(leaf, at)
	}
	it.rest = leaf[at : at+length]
	it.value = leaf[at+length : at+length+size]
	it.end = at + length + size
	return it
}

// number is the uvarint at a place, and where it ends. One byte is the rule.
func number(leaf []byte, at int) (int, int) {
	if b := leaf[at]; b < 0x80 {
		return int(b), at + 1
	}
	n, used := binary.Uvarint(leaf[at:])
	return int(n), at + used
}

func (it item) append(leaf []byte, valued bool) []byte {
	leaf = binary.AppendUvarint(leaf, uint64(it.shared))
	leaf = binary.AppendUvarint(leaf, uint64(len(it.rest)))
	if valued {
		leaf = binary.AppendUvarint(leaf, uint64(len(it.value)))
	}
	return append(append(leaf, it.rest...), it.value...)
}

// spot is where an entry is in a leaf, or belongs.
type spot struct {
	index  int  // how many entries are before it
	at     int  // where it begins
	before int  // bytes that the key shares with the entry before it
	after  int  // bytes that the key shares with the entry there, which is not below it
	found  bool // that entry has this key
}

// find looks for the first entry that is not below the key. It is where a store
// spends its time, so that it reads an entry's numbers only.
func find(leaf []byte, key string, valued bool) spot {
	var s spot // s.before of the key's bytes are those of the last entry below it
	head := 2
	if valued {
		head = 3
	}
	for s.at < len(leaf) {
		shared, length, rest, end := int(leaf[s.at]), int(leaf[s.at+1]), s.at+head, 0
		size := 0
		if valued {
			size = int(leaf[s.at+2])
		}
		if shared|length|size < 0x80 {
			end = rest + length + size
		} else {
			it := itemAt(leaf, s.at, valued)
			shared, length, end = it.shared, len(it.rest), it.end
			rest = end - length - len(it.value)
		}
		if shared < s.before {
			s.after = shared
			return s
		}
		if shared == s.before {
			n := alike(leaf[rest:rest+length], key[s.before:])
			reached := s.before + n
			switch {
			case n == length && reached == len(key):
				s.after, s.found = reached, true
				return s
			case n < length && (reached == len(key) || leaf[rest+n] > key[reached]):
				s.after = reached
				return s
			}
			s.before = reached
		}
		s.index, s.at = s.index+1, end
	}
	return s
}

// alike is how many bytes two texts begin with that are the same.
func alike(a []byte, b string) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if differ := binary.BigEndian.Uint64(a[i:]) ^ word(b[i:]); differ != 0 {
			return i + bits.LeadingZeros64(differ)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// word is the first eight bytes of a text as a number in the texts' order.
func word(s string) uint64 {
	return uint64(s[0])<<56 | uint64(s[1])<<48 | uint64(s[2])<<40 | uint64(s[3])<<32 |
		uint64(s[4])<<24 | uint64(s[5])<<16 | uint64(s[6])<<8 | uint64(s[7])
}

// entry is what is put into a leaf.
type entry struct {
	key   string
	value []byte
}

// insert puts an entry at a spot where none with its key is, or after such ones.
func insert(leaf []byte, s spot, e entry, valued bool) []byte {
	add := item{shared: s.before, rest: []byte(e.key[s.before:]), value: e.value}
	if s.at == len(leaf) {
		return add.append(grown(leaf, len(add.rest)+len(e.value)+3*binary.MaxVarintLen16), valued)
	}
	next := itemAt(leaf, s.at, valued)
	next.rest = next.rest[s.after-next.shared:]
	next.shared = s.after
	return splice(leaf, [2]int{s.at, next.end}, valued, add, next)
}

// insertCopy is insert into a copy.
func insertCopy(leaf []byte, s spot, e entry, valued bool) []byte {
	add := item{shared: s.before, rest: []byte(e.key[s.before:]), value: e.value}
	out := make([]byte, 0, len(leaf)+len(add.rest)+len(e.value)+3*binary.MaxVarintLen16)
	out = add.append(append(out, leaf[:s.at]...), valued)
	if s.at == len(leaf) {
		return out
	}
	next := itemAt(leaf, s.at, valued)
	next.rest = next.rest[s.after-next.shared:]
	next.shared = s.after
	return append(next.append(out, valued), leaf[next.end:]...)
}

// replace gives the entry at a spot another value.
func replace(leaf []byte, s spot, value []byte) []byte {
	it := itemAt(leaf, s.at, true)
	if len(it.value) == len(value) {
		copy(it.value, value) // the leaf is the tree's own
		return leaf
	}
	it.value = value
	end := it.end
	return splice(leaf, [2]int{s.at, end}, true, it)
}

// remove takes the entry at a spot away.
func remove(leaf []byte, s spot, valued bool) []byte {
	gone := itemAt(leaf, s.at, valued)
	if gone.end == len(leaf) {
		return leaf[:s.at]
	}
	next := itemAt(leaf, gone.end, valued)
	end := next.end
	if more := next.shared - gone.shared; more > 0 {
		// What it shared with the one that goes is not in the one before.
		next.rest = append(gone.rest[:more:more], next.rest...)
		next.shared = gone.shared
	}
	return splice(leaf, [2]int{s.at, end}, valued, next)
}

// splice puts items in the place of the bytes from one place to the other. The
// items may be parts of the leaf.
func splice(leaf []byte, gap [2]int, valued bool, items ...item) []byte {
	var buf [512]byte
	middle := buf[:0]
	for _, it := range items {
		middle = it.append(middle, valued)
	}
	from, to, old := gap[0], gap[1], len(leaf)
	more := len(middle) - (to - from)
	if more > 0 {
		leaf = grown(leaf, more)
		leaf = leaf[:old+more]
	}
	copy(leaf[to+more:], leaf[to:old])
	copy(leaf[from:], middle)
	return leaf[:old+more]
}

// grown is the leaf with room for so many bytes more, and a few entries beyond: who
// changes it once changes it again.
func grown(leaf []byte, more int) []byte {
	if cap(leaf)-len(leaf) >= more {
		return leaf
	}
	room := make([]byte, len(leaf), len(leaf)+more+len(leaf)/4)
	copy(room, leaf)
	return room
}

// keyAt is the whole key of the entry that begins there.
func keyAt(leaf []byte, at int, valued bool) []byte {
	var key []byte
	for i := 0; ; {
		it := itemAt(leaf, i, valued)
		key = append(key[:it.shared], it.rest...)
		if i == at {
			return key
		}
		i = it.end
	}
}

// offset is where the entry begins that has so many before it.
func offset(leaf []byte, index int, valued bool) int {
	at := 0
	for range index {
		at = itemAt(leaf, at, valued).end
	}
	return at
}

// cut divides a leaf before the entry that begins there. The parts are new.
func cut(leaf []byte, at int, valued bool) (left, right []byte) {
	first := itemAt(leaf, at, valued)
	rest := leaf[first.end:]
	first.rest, first.shared = keyAt(leaf, at, valued), 0
	right = first.append(make([]byte, 0, len(leaf)-at+len(first.rest)+binary.MaxVarintLen16), valued)
	return append(make([]byte, 0, at), leaf[:at]...), append(right, rest...)
}

// paste is the entries of two leaves as a new one.
func paste(left, right []byte, valued bool) []byte {
	last, at := 0, 0
	for at < len(left) {
		last, at = at, itemAt(left, at, valued).end
	}
	first := itemAt(right, 0, valued)
	rest := right[first.end:]
	first.shared = alike(keyAt(left, last, valued), string(first.rest))
	first.rest = first.rest[first.shared:]
	all := append(make([]byte, 0, len(left)+len(right)), left...)
	return append(first.append(all, valued), rest...)
}

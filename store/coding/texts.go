package coding

import "hash/maphash"

// Sizes of a [Texts].
const (
	textSlots   = 1 << 16
	longestText = 64 // bytes; longer texts are seldom the same
)

// Texts makes texts that are the same one text in memory: a million ports have
// a thousand networks. It remembers the last text of each slot, so that it does
// not grow; a text that it has forgotten is kept twice. It is used by one
// goroutine at a time. A nil *Texts remembers nothing.
type Texts struct {
	seed  maphash.Seed
	slots []string
}

// NewTexts makes an empty one.
func NewTexts() *Texts {
	return &Texts{seed: maphash.MakeSeed(), slots: make([]string, textSlots)}
}

// Of is the text of the bytes.
func (t *Texts) Of(b []byte) string {
	if t == nil || len(b) > longestText || len(b) == 0 {
		return string(b)
	}
	slot := &t.slots[maphash.Bytes(t.seed, b)%textSlots]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

// Learn makes s the text of its bytes.
func (t *Texts) Learn(s string) {
	if t != nil && len(s) <= longestText {
		t.slots[maphash.String(t.seed, s)%textSlots] = s
	}
}

package store

import (
	"encoding/binary"

	"neutrino"
)

// claim is who holds a key, since which revision.
type claim struct {
	owner string
	mod   Revision
}

// The forms of a claim's owner in the tree of claims, after the revision. An
// owner is an object nearly always, and often the key ends with its ID.
const (
	ownerText = iota // as it is
	ownerUUID        // 16 bytes
	ownerTail        // a uvarint: how much of the key
)

// appendClaim writes a claim as it is in the tree, under the key.
func appendClaim(b []byte, key string, owner []byte, mod Revision) []byte {
	b = binary.AppendUvarint(b, uint64(mod))
	if at := len(key) - len(owner); at >= 0 && key[at:] == string(owner) {
		return binary.AppendUvarint(append(b, ownerTail), uint64(len(owner)))
	}
	if id, ok := neutrino.ParseUUID(owner); ok {
		return append(append(b, ownerUUID), id[:]...)
	}
	return append(append(b, ownerText), owner...)
}

// claimOf reads what [appendClaim] wrote.
func claimOf(key string, value []byte) claim {
	mod, used := binary.Uvarint(value)
	c := claim{mod: Revision(mod)}
	switch form, rest := value[used], value[used+1:]; form {
	case ownerTail:
		n, _ := binary.Uvarint(rest)
		c.owner = key[len(key)-int(n):]
	case ownerUUID:
		c.owner = string(neutrino.UUID([16]byte(rest)))
	default:
		c.owner = string(rest)
	}
	return c
}

func (s *Snapshot) claim(key string) (claim, bool) {
	value, held := s.claimed.Get(key)
	if !held {
		return claim{}, false
	}
	return claimOf(key, value), true
}

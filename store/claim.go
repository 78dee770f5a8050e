package store

import (
	"encoding/binary"

	"neutrino"
	"neutrino/store/engine"
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

// appendClaim writes a claim as it is in the tree, under the key: its owner is the
// engine's value.
func appendClaim(b []byte, key string, kv engine.KV) []byte {
	b = binary.AppendUvarint(b, uint64(kv.Mod))
	if at := len(key) - len(kv.Value); at >= 0 && key[at:] == string(kv.Value) {
		return binary.AppendUvarint(append(b, ownerTail), uint64(len(kv.Value)))
	}
	if id, ok := neutrino.ParseUUID(kv.Value); ok {
		return append(append(b, ownerUUID), id[:]...)
	}
	return append(append(b, ownerText), kv.Value...)
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

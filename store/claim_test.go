package store

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"neutrino"
)

// A claim in memory says who holds the key, and since when, whatever an owner is
// called.
func TestEveryOwnerIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := string(neutrino.UUID([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))))
		key := "ip/" + rapid.String().Draw(t, "key")
		owner := rapid.SampledFrom([]string{
			id, strings.ToUpper(id), "", "compute-1", key, key[1:], rapid.String().Draw(t, "owner"),
		}).Draw(t, "which")
		if rapid.Bool().Draw(t, "the key ends with it") {
			key += owner
		}
		mod := rapid.Int64Range(1, 1<<47).Draw(t, "revision")
		got := claimOf(key, appendClaim(nil, key, []byte(owner), mod))
		if got.owner != owner || got.mod != mod {
			t.Fatalf("%q of %q at %d is %+v", key, owner, mod, got)
		}
	})
}

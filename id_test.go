package neutrino

import (
	"strings"
	"testing"
)

// The bytes of a UUID and its text are the same thing; nothing else is one.
func TestUUIDsHaveBytes(t *testing.T) {
	for i := range 256 {
		var b [16]byte
		for at := range b {
			b[at] = byte(i * (at + 3))
		}
		id := UUID(b)
		if got, ok := ParseUUID(id); !ok || got != b || !IsUUID(string(id)) {
			t.Errorf("%x is %s, which is %x %v", b, id, got, ok)
		}
	}
	const good = "01234567-89ab-4cde-8f01-23456789abcd"
	for _, bad := range []string{
		"", good[1:], good + "0", strings.ToUpper(good), strings.Replace(good, "-", "_", 1),
		strings.Replace(good, "f", "g", 1), strings.ReplaceAll(good, "-", "0"), strings.Replace(good, "a", "/", 1),
	} {
		if got, ok := ParseUUID([]byte(bad)); ok {
			t.Errorf("%q is %x", bad, got)
		}
	}
}

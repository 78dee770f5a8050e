package auth

import (
	"testing"
	"time"
)

func TestMemoryForgetsWhatIsOverAndWhatNobodyAskedFor(t *testing.T) {
	now := newClock()
	m := newMemory[int](3)
	key := func(i byte) [32]byte { return [32]byte{i} }
	has := func(i byte) bool { _, ok := m.get(key(i), now.Now()); return ok }
	for i := range byte(3) {
		m.put(key(i), int(i), now.Now().Add(time.Duration(i+1)*time.Minute))
	}
	has(0) // so that 1 is the one that nobody asked for longest
	m.put(key(3), 3, now.Now().Add(time.Hour))
	if !has(0) || has(1) || !has(2) || !has(3) {
		t.Errorf("kept %v %v %v %v", has(0), has(1), has(2), has(3))
	}
	m.put(key(0), 7, now.Now().Add(time.Second))
	if v, _ := m.get(key(0), now.Now()); v != 7 || m.order.Len() != 3 {
		t.Errorf("a newer value of a key: %d, and %d are kept", v, m.order.Len())
	}
	now.pass(time.Second)
	if has(0) || m.order.Len() != 2 || len(m.byKey) != 2 {
		t.Errorf("a value whose time is over is kept")
	}
}

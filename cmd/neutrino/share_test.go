package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

// Whatever the limit, agents find descriptors that the API cannot take.
func TestTheAPILeavesDescriptorsToTheFeed(t *testing.T) {
	for files, want := range map[uint64]int{0: 4, 32: 4, 64: 20, 1024: 500, 524_288: 8192, math.MaxUint64: 8192} {
		got := apiConnections(files)
		if got != want {
			t.Errorf("%d descriptors: %d connections, want %d", files, got, want)
		}
		if files >= 64 && uint64(got) > files-ownFiles-uint64(got) {
			t.Errorf("%d descriptors: %d are left to agents", files, files-ownFiles-uint64(got))
		}
	}
}

// The tightest of the groups around the program decides.
func TestAControlGroupLimitsTheHeap(t *testing.T) {
	root := t.TempDir()
	for dir, text := range map[string]string{"": "", "system.slice": "2147483648\n", "system.slice/neutrino.service": "max\n"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if text != "" {
			if err := os.WriteFile(filepath.Join(root, dir, "memory.max"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := groupMemory([]byte("1:x:/y\n0::/system.slice/neutrino.service\n"), root); got != 2<<30 {
		t.Errorf("%d bytes", got)
	}
	if got := groupMemory([]byte("0::/\n"), root); got != math.MaxInt64 {
		t.Errorf("%d bytes without a limit", got)
	}
	if machineMemory() <= 0 {
		t.Error("this machine has no memory")
	}
}

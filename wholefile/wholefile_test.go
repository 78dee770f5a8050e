package wholefile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file is replaced as a whole, is its owner's only, and leaves nothing beside it,
// also where a crash had left half of one.
func TestAFileIsReplacedWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path+suffix, []byte(strings.Repeat("half", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first, and long", "second", ""} {
		if err := Replace(t.Context(), path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("read %q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(path + "?*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What cannot be written leaves the file as it was.
func TestAFailureLeavesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := Replace(t.Context(), path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+suffix, 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	if err := Replace(t.Context(), path, []byte("new")); err == nil {
		t.Error("it was written")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := Replace(t.Context(), filepath.Join(path, "below", "a", "file"), nil); err == nil {
		t.Error("a file below a file was written")
	}
}
